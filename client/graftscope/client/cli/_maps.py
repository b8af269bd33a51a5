"""Influence maps that a verb works on: read from a file, or computed first."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client._choices import MapsChoice
from graftscope.client._client import Client
from graftscope.client._execution import checked_precision
from graftscope.client._files import read_array, read_npz
from graftscope.client._models import Model
from graftscope.client._results import InfluenceResult
from graftscope.client._sources import read_source
from graftscope.client._tasks import InfluenceTask, Method, StableLabels
from graftscope.client.cli._conditions import parse_fix, parse_share
from graftscope.client.cli._following import compute
from graftscope.client.cli._options import MAPS, PrecisionOption, map_pairs
from graftscope.client.cli._places import chosen_layer
from graftscope.client.cli._session import named_originals
from graftscope.client.cli._until import UntilPairOptions, parse_until
from graftscope.client.errors import InputError, UsageError


@dataclass(frozen=True)
class MapsOptions:
    """Which influence maps."""

    maps: Annotated[
        Path | None,
        typer.Option(
            "--maps",
            metavar="FILE.npz",
            help="Influence maps as `graftscope influence` wrote them. Default: they are computed, "
            "with the options below.",
            rich_help_panel=MAPS,
        ),
    ] = None
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="NAME",
            help="A layer's name, or a level's: coarse, intermediate, fine, image. Default: "
            "intermediate, where the model has levels.",
            rich_help_panel=MAPS,
        ),
    ] = None
    precision: PrecisionOption = "fp32"


def given_maps(
    options: MapsOptions,
    model: str | None,
    methods: Iterable[Method],
    dry_run: bool,
    drawn: UntilPairOptions,
) -> MapsChoice | None:
    """Read the maps of a file, if one was given.

    Args:
        options: Which.
        model: The model that was named, if any.
        methods: What groups the maps.
        dry_run: Whether nothing is to be computed.
        drawn: Of which pairs they would be computed.

    Returns:
        The maps, with their products where a method needs them; None where maps have to be
        computed.

    Raises:
        UsageError: If an option does not go with a file.
        InputError: If the file lacks what is needed.
    """
    if options.maps is None:
        return None
    if model is not None or options.layer is not None:
        raise UsageError("--maps are of a model's layer already: leave out --model, --layer")
    if dry_run:
        raise UsageError("--dry-run tells what maps would take: leave out --maps")
    if drawn.until is not None:
        raise UsageError("--until ends maps that are computed: leave out --maps, or --until")
    if drawn.stratified:
        raise UsageError("--stratified is of maps that are computed: leave out --maps, or it")
    if options.precision != MapsOptions.precision:
        raise UsageError("--precision is of maps that are computed: leave out --maps, or it")
    maps = _floats(read_array(options.maps, "maps"))
    _check_of_channels(options.maps)
    return MapsChoice(maps, _products(options.maps, methods), read_source(options.maps))


def _check_of_channels(path: Path) -> None:
    if "interventions" in read_npz(path):
        raise InputError(
            f"{path} holds maps of interventions, and channels are what is grouped: compute maps"
            " with `graftscope influence` without --intervene"
        )


def _products(path: Path, methods: Iterable[Method]) -> "NDArray[np.floating] | None":
    needing = [method for method in methods if method.needs_products]
    if not needing:
        return None
    arrays = read_npz(path)
    if "products" not in arrays:
        raise InputError(
            f"{path} has no array 'products', which --method {needing[0]} needs: compute the maps"
            " with `graftscope influence --products`, or leave out --maps"
        )
    return _floats(arrays["products"])


def _floats(array: "NDArray[np.generic]") -> "NDArray[np.floating]":
    return cast("NDArray[np.floating]", array)  # the task's check is the proof


def wanted_maps(
    model: Model,
    options: MapsOptions,
    drawn: UntilPairOptions,
    methods: Iterable[Method],
    modules: StableLabels | None = None,
) -> InfluenceTask:
    """Make the task of maps that have to be computed, with products where a method needs them.

    Args:
        model: Whose maps.
        options: Which.
        drawn: Of which pairs.
        methods: What groups the maps.
        modules: What has to stay the same for a bare ``--until stable``; None for the default.
    """
    return InfluenceTask(
        model=model.name,
        layer=chosen_layer(model, options.layer),
        pairs=map_pairs(drawn.pairs, drawn.stratified),
        stratified=drawn.stratified,
        seed=drawn.pairs_seed,
        originals=named_originals(drawn.originals, model),
        map_size=drawn.map_size,
        precision=checked_precision(options.precision),
        share=parse_share(drawn.share),
        fix=parse_fix(drawn.fix),
        products=any(method.needs_products for method in methods),
        until=parse_until(drawn.until, modules),
    )


def computed_maps(client: Client, task: InfluenceTask) -> MapsChoice:
    """Compute maps, with progress."""
    return MapsChoice.of(cast(InfluenceResult, compute(client, task)))
