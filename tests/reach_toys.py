"""Painters: generators whose channel c paints area c alone, and classifiers that look at one area.

Latents (B, 4) are rotated into the four channels of layer `fc`, each a number that fills a quarter
of the image, (B, 3, 8, 8) in [-8, 8]: every latent changes every quarter.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter import export
from graftscope.server.analysis import Draws
from onnx_toys import parse

PAIRS, SEED = 40, 3

WIDTH = 16.0
"""Of the painter's range."""

Doubles = NDArray[np.float64]
Effect = Callable[[Doubles, Doubles, Doubles], Doubles]
"""Channels (B, 4) of originals 1 and 2 and of a hybrid; gives (B,) effects."""

SIDE = 8
AREAS = 4

ROTATION = 0.5 * np.array(
    [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=np.float32
)
"""Orthogonal; every latent moves every channel by half."""

QUARTERS = np.zeros((AREAS, SIDE, SIDE), dtype=np.float32)
for _area in range(AREAS):
    _row, _column = (SIDE // 2 * x for x in divmod(_area, 2))
    QUARTERS[_area, _row : _row + SIDE // 2, _column : _column + SIDE // 2] = 1.0

_PAINTER = """
<ir_version: 10, opset_import: ["": 20]>
painter (float[batch, 4] z) => (float[batch, 3, 8, 8] image) {
    turned = Gemm(z, rotation)
    fc = Reshape(turned, as_maps)
    painted = ConvTranspose<kernel_shape = [8, 8]>(fc, areas)
    image = Clip(painted, low, high)
}
"""

_LOOKER = """
<ir_version: 10, opset_import: ["": 20]>
looker (float[batch, 3, 8, 8] image) => (float[batch, 3] scores) {
    weighted = Mul(image, weights)
    seen = ReduceMean<keepdims = 0>(weighted, axes)
    column = Reshape(seen, as_column)
    opposite = Neg(column)
    nothing = Sub(column, column)
    scores = Concat<axis = 1>(column, opposite, nothing)
}
"""


def painter_bundle(folder: Path) -> Path:
    """Export the painter."""
    strokes = np.repeat(QUARTERS[:, np.newaxis], 3, axis=1)  # (areas, 3, H, W)
    model = parse(
        _PAINTER,
        rotation=ROTATION,
        as_maps=np.array([-1, AREAS, 1, 1]),
        areas=strokes,
        low=np.array(-8, np.float32),
        high=np.array(8, np.float32),
    )
    source = folder / "painter.onnx"
    ir.save(model, source)
    out = folder / "painter"
    export(str(source), out)
    return out


def looker(path: Path, area: int) -> Path:
    """Write a classifier that sees the mean of one quarter: scores s, -s and 0."""
    model = parse(
        _LOOKER,
        weights=AREAS * QUARTERS[np.newaxis, area : area + 1],
        axes=np.array([1, 2, 3]),
        as_column=np.array([-1, 1]),
    )
    onnx.save(ir.to_proto(model), path)
    return path


def latents(pairs: range) -> tuple[Doubles, Doubles]:
    first, second = (Draws(SEED, pairs, which).normals("z", (AREAS,)) for which in (1, 2))
    return first.astype(np.float64), second.astype(np.float64)


def hybrid_of(kind: str, units: list[int], pairs: range) -> tuple[Doubles, Doubles, Doubles]:
    """Channels of both originals and of the hybrid of some units, by numpy alone: (B, 4) each."""
    first, second = latents(pairs)
    channels1, channels2 = first @ ROTATION, second @ ROTATION
    if kind == "latents":
        mixed = first.copy()
        mixed[:, units] = second[:, units]
        return channels1, channels2, mixed @ ROTATION
    hybrid = channels1.copy()
    hybrid[:, units] = channels2[:, units]
    return channels1, channels2, hybrid


def expected(kind: str, effect: Effect) -> tuple[list[int], Doubles, float]:
    """Order, shares and what is reachable, slowly: the first half ranks, the second measures."""
    ranks, measures = range(PAIRS // 2), range(PAIRS // 2, PAIRS)
    order: list[int] = []
    for _ in range(AREAS):
        left = [unit for unit in range(AREAS) if unit not in order]
        means = [effect(*hybrid_of(kind, [*order, unit], ranks)).mean() for unit in left]
        order.append(left[int(np.argmax(means))])
    sums = [effect(*hybrid_of(kind, order[:n], measures)).sum() for n in range(1, AREAS + 1)]
    return order, np.array(sums) / sums[-1], sums[-1] / len(measures)
