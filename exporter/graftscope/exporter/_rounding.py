"""How far rounding on the way moves a generator's images, and so how far two of them may be apart.

A generator in float16, or a quantised one, rounds what its layers give. The same network computed
in another order, or without the rounding, gives images that differ by more than the last digits;
by how much is measured: `dither` moves at random what is rounded, and the largest move of a pixel
counts. What is allowed is a multiple of it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._samples import draw_latents
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter._subject import TOLERANCE, Agreement, Stored
from graftscope.graph import dither, rounds, static_extents
from graftscope.v1 import bundle_pb2

_SAMPLES: Final = 2
_MOVES: Final = 4
_FACTOR: Final = 4.0
"""Over the largest of a few random moves, which is no bound by itself."""

_SHARES: Final = {
    ir.DataType.FLOAT16: 2.0**-11,
    ir.DataType.BFLOAT16: 2.0**-8,
}
"""Half a step of a type, as a share of the number; float64 rounds less than float32."""


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
    shares = {name: _SHARES[dtype] for name, dtype in types.items() if dtype in _SHARES}
    if not shares and not rounds(model):
        return Agreement()
    given = draw()
    row = _row(_session(model, folder).run(given))
    unit = max(1.0, float(np.abs(row).max())) if width is None else width

    def moved(names: Mapping[str, float], *, at_least_one: bool) -> NDArray[np.float64]:
        """Return by how much each sample's image moved, each time, as a share of the range."""
        copies = (dither(model, names, i, at_least_one=at_least_one) for i in range(_MOVES))
        rows = np.stack([_row(_session(each, folder).run(given)) for each in copies])
        apart = np.abs(rows - row).reshape(_MOVES * _SAMPLES, -1)
        return np.asarray(apart.max(axis=1) / unit)

    def most(names: Mapping[str, float]) -> float:
        return max(TOLERANCE, _FACTOR * float(moved(names, at_least_one=True).max()))

    def usual(names: Mapping[str, float]) -> float:
        return max(TOLERANCE, _FACTOR * float(np.median(moved(names, at_least_one=False))))

    if not rounds(model):
        return Agreement(source=most(shares))
    halves = most({}), usual({})
    source = (max(halves[0], most(shares)), max(halves[1], usual(shares))) if shares else halves
    return Agreement(source[0], halves[0], source[1], halves[1])


def _row(outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Lay a sample's outputs out in one row: (B, n)."""
    rows = [each.reshape(len(each), -1).astype(np.float64) for each in outputs.values()]
    return np.concatenate(rows, axis=1)


def _session(model: ir.Model, folder: Path) -> CpuSession:
    content = ir.to_proto(model).SerializeToString()
    return CpuSession(folder / "generator.onnx", optimised=False, content=content)
