"""Facts about making a graph's batch free."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from graftscope.graph import FixedBatchError, free_batch, has_batch_axis, normalise
from onnx_cases import CLASSES, FIXED, LOOKED_UP, one_sample
from onnx_toys import CHAIN, REUSED_LATENT, SKIP, latents, parse, run

BATCH = 3

# Attention over four tokens, the way PyTorch writes it: tokens first, heads merged with the batch.
ATTENTION = """
<ir_version: 10, opset_import: ["": 20]>
attention (float[1, 8] z) => (float[1, 1, 4, 4] image) {
    told = Gemm(z, w_tokens)
    tokens = Reshape(told, to_tokens)
    all = Concat<axis = 1>(start, tokens)
    turned = Transpose<perm = [1, 0, 2]>(all)
    flat = Reshape(turned, to_rows)
    linear = Gemm(flat, w_query)
    back = Reshape(linear, to_turned)
    heads = Reshape(back, to_heads)
    query = Transpose<perm = [1, 0, 2]>(heads)
    key = Transpose<perm = [1, 2, 0]>(heads)
    alike = MatMul(query, key)
    weights = Softmax(alike)
    mixed = MatMul(weights, query)
    side = Transpose<perm = [1, 0, 2]>(mixed)
    rows = Reshape(side, to_rows)
    named = Einsum<equation = "tc,dc->td">(rows, w_query)
    again = Reshape(named, to_turned)
    ordered = Transpose<perm = [1, 0, 2]>(again)
    pixels = Reshape(ordered, to_image)
    image = Tanh(pixels)
}
"""
ATTENDED: Mapping[str, NDArray[np.generic]] = {
    "w_tokens": np.random.default_rng(0).standard_normal((8, 12)).astype(np.float32),
    "w_query": np.random.default_rng(1).standard_normal((4, 4)).astype(np.float32),
    "start": np.random.default_rng(2).standard_normal((1, 1, 4)).astype(np.float32),
    "to_tokens": np.array([1, 3, 4]),
    "to_rows": np.array([4, 4]),
    "to_turned": np.array([4, 1, 4]),
    "to_heads": np.array([4, 2, 2]),
    "to_image": np.array([1, 1, 4, 4]),
}

RESIZED = one_sample(SKIP).replace(
    "second = Relu(middle)",
    'wide = Resize<mode = "nearest">(middle, , , sizes)\n'
    "    small = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(wide)\n"
    "    repeated = Expand(small, sizes_small)\n    second = Relu(repeated)",
)
SIZES = {"sizes": np.array([1, 4, 8, 8]), "sizes_small": np.array([1, 4, 4, 4])}


def freed(text: str, **constants: NDArray[np.generic]) -> tuple[ir.Model, ir.Model]:
    """Return a graph as it is, and with its batch made free."""
    model = normalise(parse(text, **constants))
    free_batch(model)
    return parse(text, **constants), model


def sample_by_sample(
    model: ir.Model, given: Mapping[str, NDArray[np.generic]]
) -> NDArray[np.float64]:
    """Compute images with a graph that takes one sample alone."""
    parts = [{name: array[i : i + 1] for name, array in given.items()} for i in range(BATCH)]
    return np.concatenate([images(model, part) for part in parts])


def images(model: ir.Model, given: dict[str, NDArray[np.generic]]) -> NDArray[np.float64]:
    return run(model, given)["image"].astype(np.float64)


@pytest.mark.parametrize(
    ("text", "constants"),
    [
        (one_sample(CHAIN), FIXED),
        (one_sample(SKIP), FIXED),
        (one_sample(REUSED_LATENT), FIXED),
        (RESIZED, {**FIXED, **SIZES}),
        (ATTENTION, ATTENDED),
    ],
)
def test_a_batch_of_one_becomes_free_and_no_number_changes(
    text: str, constants: Mapping[str, NDArray[np.generic]]
) -> None:
    fixed, free = freed(text, **constants)
    given = latents(fixed, BATCH)
    np.testing.assert_allclose(images(free, given), sample_by_sample(fixed, given), atol=1e-6)
    assert all(has_batch_axis(value) for value in (*free.graph.inputs, *free.graph.outputs))


def test_a_label_and_a_latent_share_the_batch() -> None:
    fixed, free = freed(one_sample(LOOKED_UP), **FIXED, **CLASSES)
    given = latents(fixed, BATCH) | {"label": np.array([7, 0, 3])}
    np.testing.assert_allclose(images(free, given), sample_by_sample(fixed, given), atol=1e-6)


@pytest.mark.parametrize("noise", ["float[n, 1, 4, 4]", "float[1, 1, 4, 4]", "float[?, 1, 4, 4]"])
def test_several_names_of_the_batch_become_one(noise: str) -> None:
    _, model = freed(REUSED_LATENT.replace("float[batch, 1, 4, 4]", noise))
    symbols = {value.shape[0] for value in model.graph.inputs if value.shape is not None}
    assert symbols == {ir.SymbolicDim("batch")}
    assert run(model, latents(model, BATCH))["image"].shape == (BATCH, 3, 4, 4)


def test_a_graph_whose_batch_is_free_is_left_alone() -> None:
    before, model = freed(CHAIN)
    assert [node.op_type for node in model.graph] == [node.op_type for node in before.graph]


STYLED_WEIGHTS = one_sample(SKIP).replace(
    "middle = Conv<pads = [1, 1, 1, 1]>(first, w_one)",
    "style = Gemm(z, w_style)\n    column = Reshape(style, shape_column)\n"
    "    own = Mul(w_one, column)\n    middle = Conv<pads = [1, 1, 1, 1]>(first, own)",
)
COLUMN = {"shape_column": np.array([4, 1, 1, 1])}


@pytest.mark.parametrize(
    ("text", "node", "reason"),
    [
        (STYLED_WEIGHTS, "'own' (Mul)", "its tensor 'w_one' has 4 values there"),
        (
            one_sample(SKIP).replace("second = Relu(middle)", "second = Nonesuch(middle)"),
            "'second' (Nonesuch)",
            "it is not known to keep samples apart",
        ),
        (
            one_sample(SKIP).replace(
                "second = Relu(middle)",
                "centre = ReduceMean<keepdims = 1>(middle)\n    second = Sub(middle, centre)",
            ),
            "'centre' (ReduceMean)",
            "it sums over the batch",
        ),
    ],
)
def test_the_node_in_the_way_is_named(text: str, node: str, reason: str) -> None:
    with pytest.raises(FixedBatchError) as refused:
        freed(text, **FIXED, **COLUMN)
    assert str(refused.value) == (
        f"the graph's batch is fixed at 1 and cannot be made free: in the way is node {node}: "
        f"{reason}"
    )


def test_a_batch_of_another_number_is_refused() -> None:
    with pytest.raises(
        FixedBatchError, match=r"^input 'z' has a fixed batch of 4; only a batch of"
    ):
        freed(CHAIN.replace("batch", "4"))
