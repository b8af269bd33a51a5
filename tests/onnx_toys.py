"""Small ONNX graphs for tests, written in ONNX's own text form, with random weights."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from graftscope.graph import Cut

CHAIN = """
<ir_version: 10, opset_import: ["": 20]>
chain (float[batch, 8] z) => (float[batch, 3, 8, 8] image) {
    flat = Gemm(z, w_fc)
    maps = Reshape(flat, shape_fc)
    first = Relu(maps)
    up = ConvTranspose<strides = [2, 2], pads = [1, 1, 1, 1], kernel_shape = [4, 4]>(first, w_up)
    scaled = BatchNormalization(up, gain, shift, mean, variance)
    second = Relu(scaled)
    colours = Conv<pads = [1, 1, 1, 1]>(second, w_out)
    image = Tanh(colours)
}
"""

SKIP = """
<ir_version: 10, opset_import: ["": 20]>
skip (float[batch, 8] z) => (float[batch, 3, 4, 4] image) {
    flat = Gemm(z, w_fc)
    maps = Reshape(flat, shape_fc)
    first = Relu(maps)
    middle = Conv<pads = [1, 1, 1, 1]>(first, w_one)
    second = Relu(middle)
    last = Conv<pads = [1, 1, 1, 1]>(second, w_two)
    joined = Add(last, first)
    colours = Conv<pads = [1, 1, 1, 1]>(joined, w_out)
    image = Tanh(colours)
}
"""

REUSED_LATENT = """
<ir_version: 10, opset_import: ["": 20]>
reused (float[batch, 8] z, float[batch, 1, 4, 4] noise) => (float[batch, 3, 4, 4] image) {
    flat = Gemm(z, w_fc)
    maps = Reshape(flat, shape_fc)
    first = Relu(maps)
    middle = Conv<pads = [1, 1, 1, 1]>(first, w_one)
    again = Gemm(z, w_style)
    style = Reshape(again, shape_style)
    styled = Mul(middle, style)
    second = Relu(styled)
    noisy = Add(second, noise)
    colours = Conv<pads = [1, 1, 1, 1]>(noisy, w_out)
    image = Tanh(colours)
}
"""

SHAPES = {
    "w_fc": (8, 64),
    "w_up": (4, 6, 4, 4),
    "w_one": (4, 4, 3, 3),
    "w_two": (4, 4, 3, 3),
    "w_style": (8, 4),
    "gain": (6,),
    "shift": (6,),
    "mean": (6,),
    "variance": (6,),
}


def parse(text: str, **constants: NDArray[np.generic]) -> ir.Model:
    """Read a graph; names that it reads but does not compute become random weights."""
    proto = onnx.parser.parse_model(text)
    given = {
        "shape_fc": np.array([-1, 4, 4, 4]),
        "shape_style": np.array([-1, 4, 1, 1]),
        **{name: _random(shape, name) for name, shape in SHAPES.items()},
        "w_out": _random((3, 6 if "w_up" in text else 4, 3, 3), "w_out"),
        **constants,
    }
    read = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(given[name], name) for name in sorted(read & given.keys())
    )
    return ir.from_proto(proto)


def run(model: ir.Model, tensors: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Compute a graph's outputs by name, without any optimisation; extra tensors are ignored."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    content = ir.to_proto(model).SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    feeds = {each.name: tensors[each.name] for each in session.get_inputs()}
    return dict(zip(names, session.run(names, feeds), strict=True))


def above(halves: Cut) -> ir.Model:
    """Return the upper half of a cut that has one."""
    assert halves.upstream is not None
    return halves.upstream


def latents(model: ir.Model, batch: int, seed: int = 7) -> dict[str, NDArray[np.generic]]:
    """Draw standard normal values for every input of a graph."""
    randomness = np.random.default_rng(seed)
    return {
        str(value.name): randomness.standard_normal(
            (batch, *(dim for dim in value.shape[1:] if isinstance(dim, int)))
        ).astype(np.float32)
        for value in model.graph.inputs
        if value.shape is not None
    }


def _random(shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    randomness = np.random.default_rng(list(name.encode()))
    values = randomness.standard_normal(shape).astype(np.float32) * 0.5
    return np.abs(values) + np.float32(0.1) if name == "variance" else values
