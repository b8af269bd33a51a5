"""A network that takes what foreign ones do: scaled noise, sigmas, one-hot labels, photographs."""

from pathlib import Path

import numpy as np
from PIL import Image

from graftscope.exporter import Exported, export
from onnx_cases import save

TEXT = """
<ir_version: 10, opset_import: ["": 20]>
foreign (float[batch, 1, 8, 8] noisy, float[batch] sigma, float[batch, 5] label,
         float[batch] level, float[batch, 1] t, float[batch, 3, 8, 8] photo)
        => (float[batch, 3, 8, 8] image) {
    wide = Reshape(sigma, shape_one)
    unit = Div(noisy, wide)
    joined = Concat<axis = 1>(unit, photo)
    first = Conv<pads = [1, 1, 1, 1]>(joined, w_first)
    bright = Relu(first)
    row = MatMul(label, w_label)
    moved = Reshape(row, shape_six)
    labelled = Add(bright, moved)
    strength = Reshape(level, shape_one)
    strong = Mul(labelled, strength)
    late = Reshape(t, shape_one)
    shifted = Add(strong, late)
    second = Conv<pads = [1, 1, 1, 1]>(shifted, w_second)
    deep = Relu(second)
    colours = Conv<pads = [1, 1, 1, 1]>(deep, w_third)
    image = Tanh(colours)
}
"""
_RANDOM = np.random.default_rng(11)
CONSTANTS = {
    "shape_one": np.array([-1, 1, 1, 1]),
    "shape_six": np.array([-1, 6, 1, 1]),
    "w_first": _RANDOM.standard_normal((6, 4, 3, 3)).astype(np.float32) * 0.4,
    "w_label": _RANDOM.standard_normal((5, 6)).astype(np.float32),
    "w_second": _RANDOM.standard_normal((6, 6, 3, 3)).astype(np.float32) * 0.2,
    "w_third": _RANDOM.standard_normal((3, 6, 3, 3)).astype(np.float32) * 0.2,
}
SIGMAS = (0.5, 20.0, 80.0)
PHOTOGRAPHS = 7


def put_photographs(folder: Path, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    """Write a folder of photographs; gives their pixels (N, H, W, 3)."""
    folder.mkdir()
    shape = (PHOTOGRAPHS, *size, 3)
    pixels = np.random.default_rng(2).integers(256, size=shape, dtype=np.uint8)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(folder / f"{number}.png")
    return pixels


def export_foreign(folder: Path) -> Exported:
    """Export it to `folder/foreign`, with every distribution that foreign networks need."""
    put_photographs(folder / "photographs")
    source = save(folder / "foreign.onnx", TEXT, **CONSTANTS)
    inputs = [
        "noisy=normal:0,80",
        f"sigma=choice:{','.join(map(str, SIGMAS))}",
        "label=onehot:5",
        "level=uniform:0.5,1.5",
        "t=constant:0.25",
        f"photo=images:{folder / 'photographs'},-1,1",
    ]
    return export(source, folder / "foreign", inputs=inputs)
