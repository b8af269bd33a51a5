"""Samples of a generator's inputs, for proofs and guesses, and its images of them.

What is drawn here is never what an analysis uses: those latents come from the server.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from safetensors.numpy import load_file

from graftscope.codec import DATATYPES, deviation, in_range, one_hot
from graftscope.exporter._subject import Reference, Stored
from graftscope.graph import cost_of
from graftscope.v1 import bundle_pb2

_HELD_AT: Final = 0.75
"""Where within its range uniform noise is held; not the middle, so that a swap of bounds shows."""
_FLAT: Final = 0.05
"""Up to this threshold the normal density changes by less than 0.13 % within the interval."""

_MOST_IMAGES: Final = 64
_LEAST_IMAGES: Final = 4
_MOST_MFLOP: Final = 1e6
"""What all of them may cost: a minute or less."""


def draw_latents(
    inputs: Sequence[bundle_pb2.Input], stored: Stored, batch: int, *, seed: int = 0
) -> dict[str, NDArray[np.generic]]:
    """Draw every input from its distribution, always the same values.

    Args:
        inputs: What they are.
        stored: Arrays (1, ...) or (count, ...) by the bundle's file and the input's name.
        batch: Number of samples, B.
        seed: Where the randomness begins.

    Returns:
        Arrays (B, ...) by the input's name.
    """
    randomness = np.random.default_rng(seed)
    rows = {each.stored.file: each.stored.count for each in inputs if each.HasField("stored")}
    rows |= {x.pictures.file: x.pictures.count for x in inputs if x.HasField("pictures")}
    chosen = {file: randomness.integers(count, size=batch) for file, count in rows.items()}
    return {
        each.name: _typed(each, _draw(each, stored, chosen, (batch, *each.shape), randomness))
        for each in inputs
    }


def sample_images(
    model: ir.Model, inputs: Sequence[bundle_pb2.Input], stored: Stored, compute: Reference
) -> NDArray[np.float32]:
    """Draw images one by one, fewer where one is expensive.

    Args:
        model: The generator's graph, which tells the cost.
        inputs: What it takes.
        stored: Arrays (1, ...) or (count, ...) by the bundle's file and the input's name.
        compute: Computes an image.

    Returns:
        Images (B, C, H, W), always the same ones.
    """
    affordable = int(_MOST_MFLOP / max(cost_of(model).mflop, 1.0))
    count = min(_MOST_IMAGES, max(_LEAST_IMAGES, affordable))
    latents = draw_latents(inputs, stored, count, seed=1)
    parts = [{name: array[i : i + 1] for name, array in latents.items()} for i in range(count)]
    return np.concatenate([compute(part)[0] for part in parts])


def read_stored(folder: Path, inputs: Sequence[bundle_pb2.Input]) -> Stored:
    """Read the values of inputs that lie in a bundle's files."""
    files = {x.fixed.file or x.stored.file or x.pictures.file for x in inputs} - {""}
    return {file: load_file(folder / file) for file in sorted(files)}


def held(
    inputs: Sequence[bundle_pb2.Input], latents: Mapping[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.generic]]:
    """Replace noise by `held_value`, so that a graph that draws by itself can be made to agree.

    Args:
        inputs: What they are.
        latents: Arrays (B, ...) by the input's name.
    """
    noise = {each.name: held_value(each) for each in inputs if each.noise}
    return {
        name: np.full_like(array, noise[name]) if name in noise else array
        for name, array in latents.items()
    }


def held_value(noise: bundle_pb2.Input) -> float:
    """Return the one value at which a comparison holds all elements of a noise input."""
    if not noise.HasField("uniform"):
        return 1.0
    low, high = noise.uniform.low, noise.uniform.high
    return float(np.float32(low + _HELD_AT * (high - low)))


def _draw(
    each: bundle_pb2.Input,
    stored: Stored,
    chosen: Mapping[str, NDArray[np.int64]],
    shape: tuple[int, ...],
    randomness: np.random.Generator,
) -> NDArray[np.generic]:
    match each.WhichOneof("distribution"):
        case "fixed":
            return np.broadcast_to(stored[each.fixed.file][each.name], shape)
        case "stored":
            return stored[each.stored.file][each.name][chosen[each.stored.file]]
        case "pictures":
            stated = each.pictures
            pixels = stored[stated.file][each.name][chosen[stated.file]]
            return in_range(pixels, stated.low, stated.high)
        case _:
            return _in_closed_form(each, shape, randomness)


def _in_closed_form(
    each: bundle_pb2.Input, shape: tuple[int, ...], randomness: np.random.Generator
) -> NDArray[np.generic]:
    """Draw what needs no file."""
    match each.WhichOneof("distribution"):
        case "normal":
            normal = each.normal
            return normal.mean + deviation(normal) * randomness.standard_normal(shape)
        case "uniform":
            return randomness.uniform(each.uniform.low, each.uniform.high, shape)
        case "truncated_normal":
            return _truncated(randomness, each.truncated_normal.threshold, shape)
        case "classes":
            return randomness.integers(each.classes.count, size=shape)
        case "choice":
            values = randomness.choice(each.choice.values, shape[0])
            return np.broadcast_to(values.reshape(-1, *[1] * (len(shape) - 1)), shape)
        case "one_hot":
            labels = randomness.integers(each.one_hot.count, size=shape[0])
            return one_hot(labels, each.one_hot.count, tuple(each.shape))
        case unknown:
            raise ValueError(f"input {each.name!r} has no distribution that is known: {unknown}")


def _typed(each: bundle_pb2.Input, values: NDArray[np.generic]) -> NDArray[np.generic]:
    dtype = DATATYPES[each.datatype]
    whole = np.rint(values) if each.HasField("pictures") and dtype.kind != "f" else values
    return whole.astype(dtype, copy=False)


def _truncated(
    randomness: np.random.Generator, threshold: float, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Draw again whatever lies outside; a narrow interval is so flat that it is drawn evenly."""
    if threshold < _FLAT:
        return randomness.uniform(-threshold, threshold, shape)
    values = randomness.standard_normal(shape)
    while (outside := np.abs(values) > threshold).any():
        values[outside] = randomness.standard_normal(int(outside.sum()))
    return values
