"""Facts about constants that a file computes anew each time, and what asks for them."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from graftscope.exporter import export
from graftscope.exporter.sources._constants import fold_constants, fold_shapes
from graftscope.exporter.sources._onnx_file import read_onnx
from graftscope.graph import normalise, operation
from onnx_cases import FIXED, one_sample, save
from onnx_toys import CHAIN, SKIP, parse, run

TO_BYTES = np.array(255.0, np.float32)

REFLECTED = """
<ir_version: 8, opset_import: ["": 17]>
translate (float[1, 3, 8, 8] picture) => (float[1, 3, 8, 8] image) {
    zeros = ConstantOfShape<value = int64[1] {0}>(four)
    every = Concat<axis = 0>(behind, zeros)
    pairs = Reshape(every, by_two)
    turned = Slice(pairs, last, farthest, first_axis, back)
    moved = Transpose<perm = [1, 0]>(turned)
    flat = Reshape(moved, all)
    pads = Cast<to = 7>(flat)
    framed = Pad<mode = "reflect">(picture, pads)
    first = Conv(framed, w_in)
    normal = InstanceNormalization(first, gain, shift)
    second = Relu(normal)
    colours = Conv<pads = [1, 1, 1, 1]>(second, w_out)
    image = Tanh(colours)
}
"""
"""As PyTorch's older exporter writes reflection padding: the amounts come about in eight steps."""

PADDING = {
    "four": np.array([4]),
    "behind": np.array([1, 1, 1, 1]),
    "by_two": np.array([-1, 2]),
    "last": np.array([-1]),
    "farthest": np.array([np.iinfo(np.int64).min]),
    "first_axis": np.array([0]),
    "back": np.array([-1]),
    "all": np.array([-1]),
    "w_in": np.random.default_rng(1).standard_normal((6, 3, 3, 3)).astype(np.float32) * 0.3,
    "w_out": np.random.default_rng(2).standard_normal((3, 6, 3, 3)).astype(np.float32) * 0.3,
}


def test_a_batch_of_1_behind_computed_padding_is_made_free(tmp_path: Path) -> None:
    """Every sample of a batch is what the file itself, which takes one, gives for it."""
    source = save(tmp_path / "toy.onnx", REFLECTED, **PADDING)
    exported = export(source, tmp_path / "toy", inputs=["picture=uniform:-1,1"])
    assert [layer.tensor for layer in exported.manifest.layers] == ["picture", "second"]
    whole = ir.external_data.load_to_model(ir.load(tmp_path / "toy" / "generator.onnx"))
    given: dict[str, NDArray[np.generic]] = {
        "picture": np.random.default_rng(5).uniform(-1, 1, (5, 3, 8, 8)).astype(np.float32)
    }
    one_by_one = [run(ir.load(source), {"picture": each[None]}) for each in given["picture"]]
    expected = np.concatenate([each["image"] for each in one_by_one])
    assert np.abs(np.subtract(run(whole, given)["image"], expected)).max() < 2e-6


def test_what_is_computed_from_constants_becomes_one(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", REFLECTED, **PADDING)
    graph = read_onnx(source).graph
    assert [operation(node) for node in graph][:2] == ["Pad", "Conv"]
    pads = graph.initializers["pads"].const_value
    assert pads is not None
    assert pads.numpy().tolist() == [0, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("drawn", "constants"),
    [
        ("RandomNormal<shape = [1, 4, 4, 4]>()", {}),
        ("DequantizeLinear(bytes, step)", {"bytes": np.arange(64, dtype=np.uint8).reshape(4, 4, 4),
                                           "step": np.array(0.1, np.float32)}),
        ("If<then_branch = one () => (float[4] x) { x = Identity(gain4) },"
         " else_branch = two () => (float[4] y) { y = Identity(gain4) }>(yes)",
         {"gain4": np.ones(4, np.float32), "yes": np.array(True)}),
    ],
)  # fmt: skip
def test_what_is_drawn_quantised_or_branches_is_left_as_it_is(
    tmp_path: Path,
    drawn: str,
    constants: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]],
) -> None:
    text = SKIP.replace(
        "joined = Add(last, first)", f"more = {drawn}\n    joined = Add(last, more)"
    )
    model = normalise(parse(text, **constants))
    before = [operation(node) for node in model.graph]
    fold_constants(model, tmp_path / "toy.onnx")
    assert [operation(node) for node in model.graph] == before


def test_a_small_constant_is_folded_however_large_what_it_comes_from(tmp_path: Path) -> None:
    more = (
        "wide = ConstantOfShape(many)\n    sum = ReduceSum<keepdims = 0>(wide)\n"
        "    wider = Expand(sum, many)\n    cut = Slice(wider, from, to)\n"
        "    moved = Add(last, cut)\n    joined = Add(moved, first)"
    )
    text = SKIP.replace("joined = Add(last, first)", more)
    constants = {"many": np.array([600_000]), "from": np.array([0]), "to": np.array([1])}
    model = normalise(parse(text, **constants))
    fold_constants(model, tmp_path / "toy.onnx")
    assert "cut" in model.graph.initializers
    assert "Expand" not in [operation(node) for node in model.graph]


def test_a_shape_that_is_always_the_same_is_a_constant() -> None:
    asked = "maps = Reshape(flat, shape_fc)\n    size = Shape(maps)\n"
    text = (
        one_sample(SKIP)
        .replace("maps = Reshape(flat, shape_fc)\n", asked)
        .replace("Relu(middle)", "Reshape(middle, size)")
    )
    model = normalise(parse(text, **FIXED))
    fold_shapes(model)
    size = model.graph.initializers["size"].const_value
    assert size is not None
    assert size.numpy().tolist() == [1, 4, 4, 4]
    assert "Shape" not in [operation(node) for node in model.graph]


def test_bounds_that_are_computed_tell_the_range(tmp_path: Path) -> None:
    """Clip's bounds come about by a product of constants; the range is told, not guessed."""
    text = CHAIN.replace(
        "image = Tanh(colours)", "top = Mul(full, one)\n    image = Clip(colours, zero, top)"
    )
    numbers = {"full": TO_BYTES, "one": np.array(1, np.float32), "zero": np.array(0, np.float32)}
    source = save(tmp_path / "toy.onnx", text, **numbers)
    stated = export(source, tmp_path / "toy").manifest.image
    assert (stated.low, stated.high) == (0.0, 255.0)
