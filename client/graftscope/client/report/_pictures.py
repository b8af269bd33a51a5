"""Every picture that the page shows, layer by layer: which it is, and its alternative text.

It must not know where on the page they stand.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client.report import _tiles
from graftscope.client.report._confidence import others
from graftscope.client.report._data import LayerSection, ReportData
from graftscope.client.report._example import Example
from graftscope.client.report._strokes import Squares, squares
from graftscope.client.report._tiles import Tile
from graftscope.client.report._wording import percent, same_modules
from graftscope.client.report._zones import describe_template

SAMPLES_SHOWN = 36
PAIRS_SHOWN = 6
MAPS_SHOWN = 36
_FEWEST = 4


@dataclass(frozen=True)
class MapTile:
    """One channel's influence map.

    Attributes:
        channel: Its number.
        strength: Its mean over pixels, in words.
        others: The modules that it may belong to instead.
        tile: The map, to its own maximum.
    """

    channel: int
    strength: str
    others: tuple[int, ...]
    tile: Tile


@dataclass(frozen=True)
class Change:
    """A picture of a change, and how strong it is: its mean over pixels, in words."""

    tile: Tile
    strength: str


@dataclass(frozen=True)
class Grafts:
    """What grafting one module does to the pairs that are shown.

    Attributes:
        hybrids: One a pair.
        changes: How each differs from original 1, to its own maximum.
        mean: The module's mean change over many pairs, likewise.
    """

    hybrids: tuple[Tile, ...]
    changes: tuple[Change, ...]
    mean: Change


@dataclass(frozen=True)
class LayerPictures:
    """The pictures of one layer.

    Attributes:
        maps: The strongest channels' maps by module; those of no module come last, under -1.
        templates: One a module.
        seeds: Templates a seed and a module; empty where all seeds found the same.
        original1: One a pair shown.
        original2: One a pair shown.
        grafts: One a module.
    """

    maps: dict[int, tuple[MapTile, ...]]
    templates: tuple[Tile, ...]
    seeds: tuple[tuple[Tile, ...], ...]
    original1: tuple[Tile, ...]
    original2: tuple[Tile, ...]
    grafts: tuple[Grafts, ...]


@dataclass(frozen=True)
class ExamplePictures:
    """How the example's hybrid is made: both originals, the hybrid, the change, the channels."""

    original1: Tile
    original2: Tile
    hybrid: Tile
    change: Change
    channels: Squares


def sample_tiles(data: ReportData) -> tuple[Tile, ...]:
    """Make the tiles of the samples that are shown."""
    return tuple(
        _tiles.photo(image, data.image_range, f"Sample {i} of {data.model}")
        for i, image in enumerate(data.samples[:SAMPLES_SHOWN])
    )


def example_pictures(data: ReportData, example: Example) -> ExamplePictures:
    """Make the pictures of the example."""
    section, module, pair = example.section, example.module, example.pair
    first, hybrid = section.original1[pair], section.hybrids[module, pair]
    return ExamplePictures(
        _tiles.photo(first, data.image_range, "Original 1 of the example"),
        _tiles.photo(section.original2[pair], data.image_range, "Original 2 of the example"),
        _tiles.photo(hybrid, data.image_range, f"The hybrid: original 1 with module {module}"),
        _change(data, np.abs(hybrid - first).mean(axis=0), "Where the hybrid differs"),
        squares(section.labels[0] == module),
    )


def layer_pictures(data: ReportData, section: LayerSection) -> LayerPictures:
    """Make the pictures of one layer."""
    shown = slice(PAIRS_SHOWN)
    return LayerPictures(
        maps=dict(_maps(data, section)),
        templates=_templates(section, 0),
        seeds=()
        if same_modules(section)
        else tuple(_templates(section, row) for row in range(len(section.seeds))),
        original1=tuple(
            _tiles.photo(image, data.image_range, f"Original 1 of pair {i}")
            for i, image in enumerate(section.original1[shown])
        ),
        original2=tuple(
            _tiles.photo(image, data.image_range, f"Original 2 of pair {i}")
            for i, image in enumerate(section.original2[shown])
        ),
        grafts=tuple(_grafts(data, section, module) for module in range(section.modules)),
    )


def _maps(data: ReportData, section: LayerSection) -> Iterator[tuple[int, tuple[MapTile, ...]]]:
    labels = section.labels[0]
    modules = sorted(set(labels.tolist()), key=lambda module: (module < 0, module))
    share = max(_FEWEST, MAPS_SHOWN // len(modules))
    strongest, rivals = np.argsort(-section.individual, kind="stable"), others(section)
    for module in modules:
        members = strongest[labels[strongest] == module][:share]
        yield module, tuple(_map(data, section, int(i), rivals.get(int(i), ())) for i in members)


def _map(data: ReportData, section: LayerSection, index: int, rivals: tuple[int, ...]) -> MapTile:
    channel = int(section.channel_indices[index])
    strength = percent(float(section.individual[index]) / data.range_width, 1)
    alt = f"Influence map of channel {channel} of layer {section.layer}, mean {strength}"
    return MapTile(channel, strength, rivals, _tiles.influence(section.maps[index], alt))


def _templates(section: LayerSection, row: int) -> tuple[Tile, ...]:
    return tuple(
        _tiles.template(
            values,
            f"Template of module {module}, seed {section.seeds[row]}: {describe_template(values)}",
        )
        for module, values in enumerate(section.templates[row])
    )


def _grafts(data: ReportData, section: LayerSection, module: int) -> Grafts:
    hybrids = section.hybrids[module, :PAIRS_SHOWN]
    differences = np.abs(hybrids - section.original1[:PAIRS_SHOWN]).mean(axis=1)  # (B, H, W)
    of = f"hybrid of module {module}, pair"
    return Grafts(
        tuple(
            _tiles.photo(image, data.image_range, f"The {of} {i}")
            for i, image in enumerate(hybrids)
        ),
        tuple(
            _change(data, difference, f"Where the {of} {i}, differs from original 1")
            for i, difference in enumerate(differences)
        ),
        _change(data, section.module_maps[module], f"Mean change by module {module}"),
    )


def _change(data: ReportData, values: NDArray[np.floating], alt: str) -> Change:
    strength = percent(float(values.mean()) / data.range_width, 1)
    return Change(_tiles.influence(values, f"{alt}, mean {strength}"), strength)
