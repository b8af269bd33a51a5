"""Influence maps as cards: of a layer, of several, and of a job that goes on."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graftscope.client.display._cards import Card, Table, Tile
from graftscope.client.display._numbers import percent, short
from graftscope.client.display._provenance import provenance_of
from graftscope.client.display._tiles import map_tile
from graftscope.client.values import InfluenceResult, LayersResult, PartialMaps
from graftscope.client.words import counted

_TILES = 12
_ROWS = 8

_MAPS_ARE = (
    "Where each {one} changes the picture, the strongest first. Every map is coloured to its own "
    "maximum; below it the mean over all pixels, in % of the image's range, ± standard error."
)


def influence_card(value: InfluenceResult) -> Card:
    """Show maps of a layer."""
    one = subject_of(value)
    height, width = value.map_shape[:2]
    return Card(
        title="Influence maps (partial)" if value.is_partial else "Influence maps",
        of=f"of {counted(len(value.maps), one)}, {height} x {width} pixels",
        tiles=influence_tiles(value, _TILES),
        tiles_of=len(value.maps),
        tiles_are=_MAPS_ARE.format(one=one),
        tables=[_table(value)],
        origin=provenance_of(value),
    )


def layers_card(value: LayersResult) -> Card:
    """Show maps of several layers."""
    rows = [
        [
            name,
            str(len(each.maps)),
            percent(_mean(each.individual_share)),
            _named(each, int(np.argmax(each.individual))),
            percent(float(each.individual_share.max())),
        ]
        for name, each in value.layers.items()
    ]
    heads = ["layer", "channels", "mean influence, %", "strongest channel", "its influence, %"]
    tiles = [
        tile
        for name, each in value.layers.items()
        for tile in influence_tiles(each, max(2, _TILES // len(value.layers)), name)
    ]
    return Card(
        title="Influence maps of several layers",
        of=f"{counted(len(value.layers), 'layer')}, the same pairs",
        tiles=tiles,
        tiles_of=sum(len(each.maps) for each in value.layers.values()),
        tiles_are=_MAPS_ARE.format(one="channel"),
        tables=[
            Table("Layers, from the latents to the image; % of the image's range", heads, rows)
        ],
        origin=provenance_of(value),
    )


def small_maps_card(value: PartialMaps) -> Card:
    """Show the small maps of a job that goes on."""
    order = strongest(value.individual)
    names = [_named_so_far(value, each) for each in order.tolist()]
    tiles = [
        map_tile(
            value.maps[at],
            f"{name}\n{short(value.individual[at], value.individual_stderr[at])}",
            f"Influence map of {name}",
        )
        for at, name in zip(order[:_TILES].tolist(), names, strict=False)
    ]
    settled = value.settled
    known = "" if settled is None else f", {int(settled.sum())} of {len(settled)} known well enough"
    return Card(
        title="Influence maps so far",
        of=f"{counted(value.pairs, 'pair')}{known}",
        tiles=tiles,
        tiles_of=len(value.maps),
        tiles_are="Small maps, the strongest first; below each its mean ± standard error, in image "
        "units.",
    )


def influence_tiles(value: InfluenceResult, most: int, layer: str = "") -> list[Tile]:
    """Draw the strongest maps, each named and with its individual influence."""
    one = subject_of(value)
    before = f"{layer} · " if layer else ""
    errors = value.individual_stderr / value.range_width
    return [
        map_tile(
            value.maps[at],
            f"{before}{_named(value, at)}\n{_amount(value, at, errors)}",
            f"Influence map of {one} {_named(value, at)}",
        )
        for at in strongest(value.individual)[:most].tolist()
    ]


def subject_of(value: InfluenceResult) -> str:
    """What each map is of, in one word."""
    return value.subject.removesuffix("s") or "channel"


def strongest(individual: NDArray[np.floating]) -> NDArray[np.intp]:
    """Places of maps, the strongest first."""
    order: NDArray[np.intp] = np.argsort(-individual, kind="stable")
    return order


def _table(value: InfluenceResult) -> Table:
    one = subject_of(value)
    heads = [one, "influence, % of range", "image units", "pairs"]
    errors = value.individual_stderr / value.range_width
    rows = [
        [
            str(value.interventions[at]) if value.interventions else str(value.channels[at]),
            percent(value.individual_share[at], errors[at]),
            short(value.individual[at], value.individual_stderr[at]),
            f"{value.pairs_of[at]:,}",
        ]
        for at in strongest(value.individual)[:_ROWS].tolist()
    ]
    caption = "Individual influence ± standard error, the strongest first"
    return Table(caption, heads, rows, of=len(value.maps))


def _amount(value: InfluenceResult, at: int, errors: NDArray[np.floating]) -> str:
    if math.isnan(value.range_width):
        return short(value.individual[at], value.individual_stderr[at])
    return f"{percent(value.individual_share[at], errors[at])} %"


def _named(value: InfluenceResult, at: int) -> str:
    return f"{subject_of(value)} {value.channels[at]}"


def _named_so_far(value: PartialMaps, at: int) -> str:
    if value.layer_of is None:
        return f"map {at}"
    layer = int(value.layer_of[at])
    first = int(np.argmax(value.layer_of == layer))
    return f"{value.layers[layer]} {at - first}"


def _mean(values: Sequence[float] | NDArray[np.floating]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
