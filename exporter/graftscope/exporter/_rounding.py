"""How far rounding on the way moves a generator's images, and so how far two of them may be apart.

A generator in float16, or a quantised one, rounds what its layers give. The same network computed
in another order, or without the rounding, gives images that differ by more than the last digits;
by how much is measured: `dither` lets what is rounded fall otherwise, and the largest move of a
pixel counts. What is allowed is a multiple of it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._samples import draw_latents
from graftscope.exporter._sessions import session_of
from graftscope.exporter._subject import TOLERANCE, Agreement, Stored
from graftscope.graph import VARIANTS, dither, rounds, static_extents
from graftscope.v1 import bundle_pb2

_SAMPLES: Final = 2
_FACTOR: Final = 4.0
"""Over the largest move in a few samples, which is no bound by itself."""

_SHORT: Final = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
"""Types that round more than float32."""


def measure_agreement(
    model: ir.Model,
    inputs: Sequence[bundle_pb2.Input],
    stored: Stored,
    types: Mapping[str, ir.DataType],
    *,
    width: float,
    folder: Path = Path(),
) -> Agreement:
    """Measure how far images may be apart.

    Args:
        model: The generator's graph.
        inputs: What it takes.
        stored: Values of inputs that lie in files.
        types: What its source computes in other floating-point types, by the tensor's name.
        width: Of the images' range.
        folder: Where its external weights lie.
    """
    return _measured(
        model, lambda: draw_latents(inputs, stored, _SAMPLES, seed=2), types, width, folder
    )


def measure_encoder_agreement(
    model: ir.Model,
    pixels: tuple[float, float],
    types: Mapping[str, ir.DataType],
    folder: Path = Path(),
) -> Agreement:
    """Measure how far encodings may be apart, as shares of the largest, or of 1.

    Args:
        model: The encoder's graph, whose only input are images (B, C, H, W).
        pixels: Their range.
        types: What its source computes in other floating-point types, by the tensor's name.
        folder: Where its external weights lie.
    """
    (image,) = model.graph.inputs
    shape = (_SAMPLES, *(static_extents(image) or ()))

    def draw() -> dict[str, NDArray[np.generic]]:
        drawn = np.random.default_rng(2).uniform(*pixels, shape)
        return {str(image.name): drawn.astype(np.float32)}

    return _measured(model, draw, types, None, folder)


def _measured(
    model: ir.Model,
    draw: Callable[[], Mapping[str, NDArray[np.generic]]],
    types: Mapping[str, ir.DataType],
    width: float | None,
    folder: Path,
) -> Agreement:
    """Measure how far outputs may be apart; the width of None is that of the largest, or 1."""
    short = {name: dtype for name, dtype in types.items() if dtype in _SHORT}
    if not short and not rounds(model):
        return Agreement()
    given = draw()
    row = _row(session_of(model, folder).run(given))
    unit = max(1.0, float(np.abs(row).max())) if width is None else width

    def moved(names: Mapping[str, ir.DataType], *, about_one: bool) -> NDArray[np.float64]:
        """Return by how much each sample's image moved, each time, as a share of the range."""
        copies = (dither(model, names, i, about_one=about_one) for i in range(VARIANTS))
        rows = np.stack([_row(session_of(each, folder).run(given)) for each in copies])
        apart = np.abs(rows - row).reshape(VARIANTS * _SAMPLES, -1)
        return np.asarray(apart.max(axis=1) / unit)

    def most(names: Mapping[str, ir.DataType]) -> float:
        return max(TOLERANCE, _FACTOR * float(moved(names, about_one=True).max()))

    def usual(names: Mapping[str, ir.DataType]) -> float:
        return max(TOLERANCE, _FACTOR * float(np.median(moved(names, about_one=False))))

    if not rounds(model):
        return Agreement(source=most(short))
    halves = most({}), usual({})
    source = (max(halves[0], most(short)), max(halves[1], usual(short))) if short else halves
    return Agreement(source[0], halves[0], source[1], halves[1])


def _row(outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Lay a sample's outputs out in one row: (B, n)."""
    rows = [each.reshape(len(each), -1).astype(np.float64) for each in outputs.values()]
    return np.concatenate(rows, axis=1)
