"""Variants of the small ONNX graphs, for all that a file from elsewhere may be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from onnx_toys import CHAIN, REUSED_LATENT, SKIP, parse

LABELS = 10
CLASSES = {
    "table": np.random.default_rng(3).standard_normal((LABELS, 4)).astype(np.float32),
    "depth": np.array(LABELS),
    "on_off": np.array([0, 1], np.float32),
    "w_label": np.random.default_rng(4).standard_normal((LABELS, 4)).astype(np.float32),
    "numbers": np.arange(LABELS),
    "last": np.array([1]),
}
FIXED = {"shape_fc": np.array([1, 4, 4, 4]), "shape_style": np.array([1, 4, 1, 1])}
"""Targets of Reshape that take one sample alone."""

_LABEL = REUSED_LATENT.replace("float[batch, 1, 4, 4] noise", "int64[batch] label")
LOOKED_UP = _LABEL.replace(
    "noisy = Add(second, noise)",
    "row = Gather(table, label)\n    moved = Reshape(row, shape_style)\n"
    "    noisy = Add(second, moved)",
)
ONE_HOT = _LABEL.replace(
    "noisy = Add(second, noise)",
    "hot = OneHot(label, depth, on_off)\n    row = MatMul(hot, w_label)\n"
    "    moved = Reshape(row, shape_style)\n    noisy = Add(second, moved)",
)
COMPARED = _LABEL.replace(
    "noisy = Add(second, noise)",
    "column = Unsqueeze(label, last)\n    same = Equal(column, numbers)\n"
    "    hot = Cast<to = 1>(same)\n    row = MatMul(hot, w_label)\n"
    "    moved = Reshape(row, shape_style)\n    noisy = Add(second, moved)",
)
TIMED = REUSED_LATENT.replace("float[batch, 1, 4, 4] noise", "float[batch, 1, 1, 1] t").replace(
    "Add(second, noise)", "Add(second, t)"
)
CLASSIFIER = CHAIN.replace("float[batch, 3, 8, 8] image", "float[batch, 1000] scores").replace(
    "image = Tanh(colours)",
    "pooled = GlobalAveragePool(colours)\n    flattened = Flatten(pooled)\n"
    "    scores = Gemm(flattened, w_scores)",
)
SCORES = {"w_scores": np.zeros((3, 1000), np.float32)}
LOOP = SKIP.replace(
    "second = Relu(middle)",
    """second = Loop <body = step (int64 i, bool on, float[batch, 4, 4, 4] x) =>
        (bool still_on, float[batch, 4, 4, 4] y) { still_on = Identity(on)
        y = Relu(x) }> (times, yes, middle)""",
)
TIMES = {"times": np.array(3), "yes": np.array(True)}


def drawing(node: str) -> str:
    """Return the graph with a skip connection, and the random node's output `drawn` added."""
    return SKIP.replace(
        "joined = Add(last, first)",
        f"drawn = {node}\n    noisy = Add(last, drawn)\n    joined = Add(noisy, first)",
    )


def one_sample(text: str) -> str:
    """Return a graph whose batch is fixed at 1; its constants are in `FIXED`."""
    return text.replace("batch", "1")


def of_opset(text: str, opset: int) -> str:
    """Return a graph of the toys' as a file of that operation set would hold it."""
    version = 3 if opset < 9 else 8 if opset < 18 else 10
    text = text.replace("Gemm(z, w_fc)", "Gemm(z, w_fc, b_fc)")  # optional only since opset 11
    text = text.replace('"": 20', f'"": {opset}')
    return text.replace("ir_version: 10", f"ir_version: {version}")


BIAS = {"b_fc": np.linspace(-1, 1, 64, dtype=np.float32)}


def save(path: Path, text: str, **constants: NDArray[np.generic]) -> Path:
    """Write a graph as a file."""
    onnx.save(ir.to_proto(parse(text, **constants)), path)
    return path


Change = Callable[[onnx.ModelProto], None]


def changed(path: Path, change: Change) -> Path:
    """Change a file in place."""
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path
