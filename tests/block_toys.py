"""Blocks as people build them now, each as a lower half whose first input is the activation."""

import re
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph import normalise
from onnx_toys import parse

CHANNELS = 8
SIDE = 4

_GROUP_NORM = """
        rows = Reshape({x}, to_rows)
        normal = InstanceNormalization<epsilon = 0.001>(rows, ones, zeros)
        shape = Shape({x})
        back = Reshape(normal, shape)
        scaled = Mul(back, gain)
        shifted = Add(scaled, shift)
        gate = Sigmoid(shifted)
        silu = Mul(shifted, gate)
"""
_TWICE = (
    'Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", '
    'nearest_mode = "floor">({x}, nothing, twice)'
)
_CONV = "Conv<pads = [1, 1, 1, 1]>"

# What is between the activation `a`, (N, 8, 4, 4), and the last convolution, which reads `wide`.
BLOCKS: dict[str, str] = {
    "a residual block that upsamples first": f"""
        large = {_TWICE.format(x="a")}
        shortcut = Conv(large, w_point, b_few)
        {_GROUP_NORM.format(x="large")}
        body = {_CONV}(silu, w_few, b_few)
        wide = Add(shortcut, body)
    """,
    "a residual block with an identity": f"""
        {_GROUP_NORM.format(x="a")}
        body = {_CONV}(silu, w_many)
        wide = Add(a, body)
    """,
    "every channel normalised by itself": f"""
        normal = InstanceNormalization<epsilon = 0.01>(a, gains, shifts)
        active = LeakyRelu(normal)
        large = {_TWICE.format(x="active")}
        wide = {_CONV}(large, w_few, b_few)
    """,
    "a batch normalisation first": f"""
        normal = BatchNormalization(a, gains, shifts, shifts, gains)
        active = Relu(normal)
        large = {_TWICE.format(x="active")}
        wide = Conv<pads = [2, 2, 2, 2]>(large, w_five)
    """,
    "a style for every channel": f"""
        styled = Mul(a, style)
        large = {_TWICE.format(x="styled")}
        more = {_TWICE.format(x="large")}
        body = {_CONV}(more, w_few)
        wide = Tanh(body)
    """,
    "styles that are computed, behind an interpolation": f"""
        both = MatMul(w, w_style)
        gain_of, shift_of = Split<axis = 1, num_outputs = 2>(both)
        style_gain = Unsqueeze(gain_of, places)
        style_shift = Unsqueeze(shift_of, places)
        large = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(a, , twice)
        normal = InstanceNormalization<epsilon = 0.01>(large, gains, shifts)
        scaled = Mul(normal, style_gain)
        moved = Add(scaled, style_shift)
        wide = {_CONV}(moved, w_few)
    """,
    "attention behind a normalisation": f"""
        normal = InstanceNormalization<epsilon = 0.01>(a, gains, shifts)
        queries = Conv(normal, w_point, b_few)
        keys = Conv(normal, w_point)
        values = Conv(normal, w_point)
        flat_queries = Reshape(queries, to_places)
        flat_keys = Reshape(keys, to_places)
        flat_values = Reshape(values, to_places)
        by_place = Transpose<perm = [0, 2, 1]>(flat_queries)
        scores = MatMul(by_place, flat_keys)
        shares = Softmax(scores)
        turned = Transpose<perm = [0, 2, 1]>(shares)
        mixed = MatMul(flat_values, turned)
        maps = Reshape(mixed, to_maps)
        large = {_TWICE.format(x="maps")}
        wide = {_CONV}(large, w_six)
    """,
    "channels that gate themselves": f"""
        level = ReduceMean<keepdims = 1>(a, places)
        gate = Sigmoid(level)
        gated = Mul(a, gate)
        large = {_TWICE.format(x="gated")}
        wide = {_CONV}(large, w_few)
    """,
    "noise on what is upsampled": f"""
        large = {_TWICE.format(x="a")}
        noisy = Add(large, noise)
        wide = {_CONV}(noisy, w_few)
    """,
    "holes between taps": f"""
        large = {_TWICE.format(x="a")}
        wide = Conv<pads = [2, 2, 2, 2], dilations = [2, 2]>(large, w_few)
    """,
    "channels that are mixed first": f"""
        flat = ReduceMean<keepdims = 1>(a, first_axis)
        mixed = Sub(a, flat)
        large = {_TWICE.format(x="mixed")}
        wide = {_CONV}(large, w_few)
    """,
}
FALL_BACK = ("noise on what is upsampled", "holes between taps", "channels that are mixed first")
"""Those of which a convolution of upsampled images is left, or none is shared."""


def block(case: str) -> tuple[ir.Model, str, int]:
    """A lower half, the activation's name, and its axis of channels."""
    chance = np.random.default_rng(3)

    def drawn(*shape: int) -> NDArray[np.float32]:
        values = chance.standard_normal(shape, dtype=np.float32)
        return values / np.float32(4)

    weights = {
        "to_rows": np.array([0, 2, -1]),
        "first_axis": np.array([1]),
        "places": np.array([2, 3]),
        "to_places": np.array([0, 6, -1]),
        "to_maps": np.array([0, 6, SIDE, SIDE]),
        "ones": np.ones(2, np.float32),
        "zeros": np.zeros(2, np.float32),
        "gain": drawn(CHANNELS, 1, 1) + 1,
        "shift": drawn(CHANNELS, 1, 1),
        "gains": np.abs(drawn(CHANNELS)) + 1,
        "shifts": drawn(CHANNELS),
        "twice": np.array([1, 1, 2, 2], np.float32),
        "w_point": drawn(6, CHANNELS, 1, 1),
        "w_few": drawn(6, CHANNELS, 3, 3),
        "w_five": drawn(6, CHANNELS, 5, 5),
        "w_many": drawn(CHANNELS, CHANNELS, 3, 3),
        "b_few": drawn(6),
        "w_style": drawn(5, 2 * CHANNELS),
        "w_six": drawn(6, 6, 3, 3),
        "w_last": drawn(3, 8 if "w_many" in BLOCKS[case] else 6, 3, 3),
    }
    body = BLOCKS[case].replace("nothing", "")
    carried = {
        "style": f"float[batch, {CHANNELS}, 1, 1] style",
        "w": "float[batch, 5] w",
        "noise": f"float[batch, 1, {2 * SIDE}, {2 * SIDE}] noise",
    }
    inputs = [f"float[batch, {CHANNELS}, {SIDE}, {SIDE}] a"]
    inputs += [text for name, text in carried.items() if re.search(rf"\b{name}\b", body)]
    text = f"""
    <ir_version: 10, opset_import: ["": 20]>
    block ({", ".join(inputs)}) => (float[batch, 3, height, width] image) {{
        {body}
        colours = {_CONV}(wide, w_last)
        image = Tanh(colours)
    }}
    """
    used = {name: value for name, value in weights.items() if name in text}
    model = parse(text, **used)
    model.graph.outputs[0].shape = None  # Inference finds it.
    return normalise(model), "a", 1


HALVES: dict[str, Callable[[], tuple[ir.Model, str, int]]] = {
    case: (lambda case=case: block(case))  # type: ignore[misc]
    for case in BLOCKS
}
