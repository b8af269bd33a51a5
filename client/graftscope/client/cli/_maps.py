"""Influence maps that a verb works on: read from a file, or computed first."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias, cast

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.arrays import (
    Flag,
    naming,
    read_about,
    read_array,
    read_npz,
    read_source,
    whole_number,
)
from graftscope.client.cli._following import compute
from graftscope.client.cli._model_and_layer import chosen_layer
from graftscope.client.cli._request_options import As, Given, Offer
from graftscope.client.cli._session import named_originals
from graftscope.client.cli._shared_options import LAYER, OneLayer, OriginalsOption
from graftscope.client.cli._usual_pairs import USUAL_PAIRS, modules_of, rule_about, usual_pairs
from graftscope.client.errors import InputError, UsageError
from graftscope.client.models import Model
from graftscope.client.values import (
    GROUP_PRODUCTS,
    GROUPS,
    MAPS,
    FloatArray,
    InfluenceResult,
    InfluenceTask,
    IntArray,
    Maps,
    Method,
    ModulesAsked,
    ModulesTask,
    OfMaps,
    PairGroups,
)

_PAIRS = As(help="How many pairs to compute maps from, at least 1. Default: 1000.")
_PAIRS_SEED = As("--pairs-seed", help="Decides only the pairs, 0 to 4294967295. Default: --seed.")

ComputedAlone: TypeAlias = Annotated[
    Given[InfluenceTask], Offer(without=("products",), changed={"pairs": _PAIRS})
]
"""Maps that are computed where none are given: all that can be said of them."""

Computed: TypeAlias = Annotated[
    Given[InfluenceTask],
    Offer(without=("products",), changed={"pairs": _PAIRS, "seed": _PAIRS_SEED}),
]
"""The same, where their pairs are not all that is drawn."""

ComputedUntilSure: TypeAlias = Annotated[
    Given[InfluenceTask],
    Offer(without=("products",), changed={"pairs": USUAL_PAIRS, "seed": _PAIRS_SEED}),
]
"""The same, of a verb that asks for `usual_pairs`."""


@dataclass(frozen=True)
class MapsOptions:
    """Which influence maps."""

    maps: Annotated[
        Path | None,
        typer.Option(
            "--maps",
            metavar="FILE.npz",
            help="Influence maps as `graftscope influence` wrote them. Default: compute them, "
            "with the options below.",
            rich_help_panel=MAPS,
        ),
    ] = None
    layer: Annotated[
        str | None,
        OneLayer(),
        Flag(
            "--layer",
            "NAME",
            f"{LAYER} Default: intermediate, if the model has levels.",
            MAPS,
        ),
    ] = None
    originals: OriginalsOption = None


def given_maps(
    options: MapsOptions,
    model: str | None,
    methods: Iterable[Method],
    dry_run: bool,
    asked: Given[InfluenceTask],
) -> Maps | None:
    """Read the maps of a file, if one was given.

    Args:
        options: Which.
        model: The model that was named, if any.
        methods: What groups the maps.
        dry_run: Whether nothing is to be computed.
        asked: How they would be computed.

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
        raise UsageError("--maps already names the model and its layer: leave out --model, --layer")
    if dry_run:
        raise UsageError("--dry-run estimates the cost of computing maps: leave out --maps")
    said = [*asked.options(), *(["--originals"] if options.originals is not None else [])]
    if said:
        flag = said[0]
        raise UsageError(f"{flag} is of maps that are computed: leave out --maps, or it")
    maps = _floats(read_array(options.maps, "maps"))
    _check_of_channels(options.maps)
    products = _products(options.maps, methods)
    with naming(options.maps):
        groups = _groups(options.maps)
        ModulesTask(maps, products=products, groups=groups)
    pairs_of = cast("IntArray | None", read_npz(options.maps).get("pairs_of"))
    return Maps(maps, products, groups, pairs_of, _of_maps(options.maps))


def _of_maps(path: Path) -> OfMaps:
    """What a file says beside its maps; one that was made by hand may say nothing."""
    arrays, width = read_npz(path), read_about(path).told.get("range_width")
    individual, stderr = (arrays.get(name) for name in ("individual", "individual_stderr"))
    return OfMaps(
        read_source(path),
        cast("IntArray | None", arrays.get("channels")),
        None if individual is None else _doubles(individual),
        None if stderr is None else _doubles(stderr),
        width if isinstance(width, float) else math.nan,
    )


def _doubles(array: "NDArray[np.generic]") -> FloatArray:
    return array.astype(np.float64)


def _check_of_channels(path: Path) -> None:
    if read_about(path).told.get("subject") == "modules":
        raise InputError(
            f"{path} holds maps of modules, but grouping needs maps of channels: compute maps "
            "with `graftscope influence` without --modules"
        )
    if "interventions" in read_npz(path):
        raise InputError(
            f"{path} holds maps of interventions, but grouping needs maps of channels: compute "
            "maps with `graftscope influence` without --intervene"
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


def _groups(path: Path) -> PairGroups | None:
    """Means over groups of pairs, which files of earlier versions do not have."""
    arrays = read_npz(path)
    if not all(name in arrays for name in GROUPS):
        return None
    maps, pairs, units = (cast(Any, arrays[name]) for name in GROUPS)  # PairGroups checks them
    return PairGroups(maps, pairs, units, cast(Any, arrays.get(GROUP_PRODUCTS)))


def _floats(array: "NDArray[np.generic]") -> "NDArray[np.floating]":
    return cast("NDArray[np.floating]", array)  # the task's check is the proof


def wanted_maps(
    model: Model,
    options: MapsOptions,
    asked: Given[InfluenceTask],
    methods: Iterable[Method],
    modules: Mapping[str, Any] | None = None,
    grouping: Given[ModulesTask] | None = None,
) -> InfluenceTask:
    """Make the task of maps that have to be computed, with products where a method needs them.

    Args:
        model: Whose maps.
        options: Which.
        asked: How they are computed.
        methods: What groups the maps.
        modules: What is known of the modules that are to be found, as of `rule_about`; None where
            nothing is.
        grouping: What is to be found instead, by a verb that asks for `usual_pairs`.
    """
    originals = named_originals(options.originals, model)
    if grouping is not None:
        modules = vars(modules_of(grouping))
        asked = usual_pairs(asked, grouping, originals)
    return asked(
        model=model.name,
        layer=chosen_layer(model, options.layer),
        originals=originals,
        products=any(method.needs_products for method in methods),
        until=rule_about(asked, modules or {}),
    )


def check_k(k: int, model: Model, layer: str) -> None:
    """Refuse, before maps are computed, a number of modules that the layer cannot have.

    Raises:
        InputError: If it is not from 1 to the number of channels, or there is no such layer.
    """
    channels = model.layer(layer).channels
    if whole_number("k", k, low=1) > channels:
        raise InputError(
            f"k {k} is more than the {channels} maps of layer {layer!r}, one a channel: it must be"
            f" from 1 to {channels}",
            field="k",
        )


def computed_maps(client: Client, task: InfluenceTask, modules: ModulesAsked | None = None) -> Maps:
    """Compute maps, with progress, as `compute`."""
    return Maps.given(cast(InfluenceResult, compute(client, task, modules)))
