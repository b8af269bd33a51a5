"""Samples, hybrids, strips and encodings as cards."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope.client.display._cards import Card, Table, Tile
from graftscope.client.display._images import Pictured, opened, pictured, ranged
from graftscope.client.display._numbers import percent, short
from graftscope.client.display._provenance import provenance_of
from graftscope.client.display._tiles import map_tile, picture_tile
from graftscope.client.values import (
    Explored,
    HybridFiles,
    HybridResult,
    Posterior,
    SampleFiles,
    Samples,
    Strip,
)
from graftscope.client.words import counted

_SAMPLES = 16
_PAIRS = 4


def samples_card(value: Samples | SampleFiles) -> Card:
    """Show samples."""
    found = pictured(value, _SAMPLES)
    images = found.rows["sample"]
    shapes = ", ".join(f"{name} {array.shape}" for name, array in value.latents.items())
    return Card(
        title="Samples",
        of=f"{counted(len(value.images), 'image')}, {_size(images)}",
        tiles=[_tile(image, f"sample {at}", found) for at, image in enumerate(images)],
        tiles_of=len(value.images),
        notes=_notes(found),
        origin={**provenance_of(value), **({"latents": shapes} if shapes else {})},
    )


def hybrids_card(value: HybridResult | HybridFiles) -> Card:
    """Show hybrids beside their originals."""
    found = pictured(value, _PAIRS)
    first, hybrid = found.rows["original 1"], found.rows["hybrid"]
    width = found.image_range[1] - found.image_range[0]
    changes = np.abs(hybrid - first).mean(axis=1, dtype=np.float64)  # (B, H, W)
    tiles: list[Tile] = []
    for pair in range(len(first)):
        tiles += _of_pair(found, pair)
        share = percent(float(changes[pair].mean()) / width)
        caption = f"change, mean {share} %"
        tiles.append(map_tile(changes[pair], caption, f"Where the hybrid of pair {pair} differs"))
    clipped = [f"{value.clipped:.2%} of the edited photographs' values were clipped."]
    return Card(
        title="Hybrids",
        of=f"of {counted(len(value.hybrid), 'pair')}, {_size(first)}",
        tiles=tiles,
        tiles_of=len(value.hybrid) * (len(found.rows) + 1),
        columns=len(found.rows) + 1,
        tiles_are="Each pair: its originals, the hybrid, and |hybrid \N{MINUS SIGN} original 1| "
        "coloured to its own maximum, with the mean in % of the image's range.",
        notes=[*_notes(found), *(clipped if value.edited is not None else [])],
        origin=provenance_of(value),
    )


def strip_card(value: Strip) -> Card:
    """Show hybrids of several strengths."""
    found = pictured(value, _PAIRS)
    pairs = len(value.original1)
    tiles = [tile for pair in range(min(pairs, _PAIRS)) for tile in _of_pair(found, pair)]
    return Card(
        title="Strip",
        of=f"{counted(len(value.strengths), 'strength')} of {counted(pairs, 'pair')}, "
        f"{_size(value.original1)}",
        tiles=tiles,
        tiles_of=pairs * len(found.rows),
        columns=len(found.rows),
        tiles_are="Strength 0 is original 1 and 1 the hybrid; beyond, channels are extrapolated.",
        notes=[f"{value.clipped:.1%} of the values leave the image's range, and are clipped here."],
        origin=provenance_of(value),
    )


def explored_card(value: Explored) -> Card:
    """Show an exploration's images."""
    named = {
        "original 1": value.original1,
        "original 2": value.original2,
        "hybrid": value.hybrid,
    }
    rows = {name: _plain(images) for name, images in named.items() if images is not None}
    if not rows:
        return Card("Explored", f"request {value.number}: no images")
    known = all(images.dtype != np.float32 for images in named.values() if images is not None)
    found = ranged(rows, (0.0, 255.0) if known else ())
    pairs = len(next(iter(rows.values())))
    return Card(
        title="Explored",
        of=f"request {value.number}, {value.dropped} dropped before it",
        tiles=[tile for pair in range(min(pairs, _PAIRS)) for tile in _of_pair(found, pair)],
        tiles_of=pairs * len(rows),
        columns=len(rows),
        notes=_notes(found),
    )


def posterior_card(value: Posterior) -> Card:
    """Show what an encoder infers."""
    rows = []
    for name, mean in value.mean.items():
        spread = value.log_variance.get(name)
        deviation = "-" if spread is None else short(float(np.exp(0.5 * _reals(spread)).mean()))
        reals = _reals(mean)
        rows.append([name, str(mean.shape), short(float(reals.mean())), deviation])
    heads = ["input", "shape", "mean", "mean standard deviation"]
    return Card(
        title="Posterior",
        of="what the encoder infers from images",
        tables=[Table("Means over all images and dimensions", heads, rows)],
        origin=provenance_of(value),
    )


def _of_pair(found: Pictured, pair: int) -> list[Tile]:
    return [
        _tile(images[pair], f"pair {pair}, {name}" if at == 0 else name, found)
        for at, (name, images) in enumerate(found.rows.items())
    ]


def _tile(image: NDArray[np.floating], caption: str, found: Pictured) -> Tile:
    from graftscope.client.pictures import to_pixels

    return picture_tile(to_pixels(image[np.newaxis], found.image_range)[0], caption, caption)


def _notes(found: Pictured) -> list[str]:
    return [found.note] if found.note else []


def _plain(images: NDArray[Any]) -> NDArray[np.floating]:
    """(B, c, H, W): of an exploration's images, whatever form they have."""
    if images.dtype == np.uint8:
        return np.moveaxis(images, -1, 1).astype(np.float64)
    return opened(images.tolist()) if images.dtype == object else images


def _reals(array: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(array, np.float64)


def _size(images: NDArray[np.floating]) -> str:
    height, width = images.shape[-2:]
    return f"{height} x {width} pixels"
