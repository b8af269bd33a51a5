"""What the verbs about a module's worth have in common: whose modules they look at."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar, cast

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.arrays import Flag, Whole, read_npz
from graftscope.client.cli._following import compute
from graftscope.client.cli._maps import check_k, computed_maps
from graftscope.client.cli._request_options import Given
from graftscope.client.cli._session import named_originals, read_labels, spread_labels
from graftscope.client.cli._shared_options import ModulesLayerOption
from graftscope.client.cli._usual_pairs import modules_of, usual_pairs
from graftscope.client.errors import UsageError
from graftscope.client.models import Model
from graftscope.client.values import (
    HybridTask,
    InfluenceTask,
    ModulesResult,
    ModulesTask,
)

_Task = TypeVar("_Task", bound=HybridTask)

MODULES = "Modules"
COMPARED = "What hybrids are compared with"

FeaturesOption = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="FILE.onnx|NAME",
        help="The network by whose features images are compared: an ONNX file, one that the server "
        "brings, or encoder for the model's own. Default: the one that suits the model.",
        rich_help_panel=COMPARED,
    ),
]


@dataclass(frozen=True)
class ModulesOptions:
    """Whose modules: those of a file, or those that are found first."""

    modules: Annotated[
        Path | None,
        typer.Option(
            "--modules",
            metavar="FILE.npz",
            help="Modules as `graftscope modules` wrote them. Default: find them first, as "
            "`graftscope modules` does.",
            rich_help_panel=MODULES,
        ),
    ] = None
    layer: ModulesLayerOption = None
    k: Annotated[
        int,
        Whole(1),
        Flag("--k", "K", "How many modules are found, without --modules.", MODULES),
    ] = 3


@dataclass(frozen=True, eq=False)
class OfModules:
    """Whose worth is measured.

    Attributes:
        model: The model.
        layer: The layer's name, or its level's.
        labels: (C,) the module of each channel, -1 for none.
        individual: (C,) the channels' individual influence; None where a file of modules came
            without it.
        templates: (K, h, w) where each module changes the image; None likewise.
    """

    model: Model
    layer: str
    labels: NDArray[np.integer]
    individual: NDArray[np.float64] | None = None
    templates: NDArray[np.float64] | None = None


def task_of_modules(
    client: Client,
    place: tuple[Model, str],
    options: ModulesOptions,
    asking: Callable[[OfModules], _Task],
    originals: str | None,
    seed: int | None,
    *,
    dry_run: bool,
) -> _Task:
    """Say what is asked of the modules of a file, or of those that are found first, with progress.

    What the server would refuse of it is refused before modules are found.

    Args:
        client: The server's.
        place: The model and the layer, or its level, as of `chosen_place`.
        options: Which modules.
        asking: Makes what is asked.
        originals: Where the pairs come from that they are found with, as `--originals` says it.
        seed: Decides those pairs, and the method; None for 0.
        dry_run: Whether nothing is to be computed.

    Raises:
        InputError: If the file holds something else, or the layer has not so many channels.
        UsageError: If the options contradict each other.
    """
    model, layer = place
    if options.modules is not None:
        labels = read_labels(options.modules)
        whole = spread_labels(labels, options.modules, model.layer(layer))
        return asking(OfModules(model, layer, whole, *_beside(options.modules, labels, whole)))
    if dry_run:
        raise UsageError(
            "--dry-run needs --modules FILE.npz here: without it modules are found first, and what"
            " the rest costs depends on them; `graftscope modules --dry-run` tells what they cost"
        )
    check_k(options.k, model, layer)
    client.estimate(asking(OfModules(model, layer, labels_like(model, layer, options.k))))
    seeds = None if seed is None else (seed,)
    grouping = Given(ModulesTask, {"k": options.k}).unless_said(seeds=seeds)
    source = named_originals(originals, model)
    drawn = usual_pairs(Given(InfluenceTask).unless_said(seed=seed), grouping, source)
    until = drawn["until"]
    task = drawn(model=model.name, layer=layer, originals=source, until=until)
    maps = computed_maps(client, task, modules_of(grouping))
    wanted = grouping(maps=maps.maps, products=maps.products, groups=maps.groups)
    found = cast(ModulesResult, compute(client, wanted)).of_maps(maps.of)
    return asking(OfModules(model, layer, found.labels, found.individual, found.templates))


def labels_like(model: Model, layer: str, k: int) -> NDArray[np.integer]:
    """Labels (C,) of as many modules as will be found: they cost what those will, about."""
    return np.arange(model.layer(layer).channels) % k


def _beside(
    path: Path, labels: NDArray[np.integer], whole: NDArray[np.integer]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """The channels' individual influence, if a file tells it of every one; and the templates.

    A file that was made by hand may hold neither.
    """
    arrays = read_npz(path)
    individual, templates = (arrays.get(name) for name in ("individual", "templates"))
    if individual is not None and individual.shape != whole.shape:
        individual = None
    if templates is not None and (templates.ndim != 3 or len(templates) <= labels.max()):
        templates = None
    kept = (None if x is None else x.astype(np.float64) for x in (individual, templates))
    first, second = kept
    return first, second
