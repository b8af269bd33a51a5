"""Facts about `graftscope.graph.cut`."""

from collections.abc import Iterable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graftscope.graph import (
    Cut,
    CutError,
    GraphError,
    RandomGraphError,
    UnknownTensorError,
    cut,
    find_layers,
)
from onnx_toys import CHAIN, REUSED_LATENT, SKIP, above, latents, parse, run

BATCH_ABOVE = """
<ir_version: 10, opset_import: ["": 20]>
above (float[batch, 8] z) => (float[batch, 3, 4, 4] image) {
    count = Shape<start = 0, end = 1>(z)
    flat = Gemm(z, w_fc)
    whole = Shape(flat)
    maps = Reshape(flat, shape_fc)
    first = Relu(maps)
    joined = Concat<axis = 0>(count, rest)
    ones = Expand(one, joined)
    more = Add(first, ones)
    flattened = Reshape(more, whole)
    again = Reshape(flattened, shape_fc)
    image = Conv<pads = [1, 1, 1, 1]>(again, w_out)
}
"""
GRAPHS = {"chain": CHAIN, "skip": SKIP, "reused latent": REUSED_LATENT}


def batch_above() -> ir.Model:
    return parse(BATCH_ABOVE, rest=np.array([4, 4, 4]), one=np.array(1, np.float32))


def recomposed(halves: Cut, given: dict[str, np.ndarray]) -> np.ndarray:
    crossing = run(above(halves), given)
    (image,) = run(halves.downstream, {**given, **crossing}).values()
    return image


def names(values: Iterable[ir.Value]) -> list[str]:
    return [str(value.name) for value in values]


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_downstream_after_upstream_is_the_whole_graph(graph: str, batch: int) -> None:
    model = parse(GRAPHS[graph])
    given = latents(model, batch)
    (whole,) = run(model, given).values()
    for layer in find_layers(model):
        np.testing.assert_array_equal(recomposed(cut(model, layer.tensor), given), whole)


def test_in_a_chain_nothing_is_carried() -> None:
    model = parse(CHAIN)
    assert [cut(model, layer.tensor).carried for layer in find_layers(model)] == [(), ()]


def test_a_skip_connection_is_carried_only_where_it_crosses() -> None:
    model = parse(SKIP)
    carried = {layer.tensor: cut(model, layer.tensor).carried for layer in find_layers(model)}
    assert carried == {"first": (), "second": ("first",), "joined": ()}


def test_what_later_blocks_read_of_the_latents_is_carried() -> None:
    halves = cut(parse(REUSED_LATENT), "first")
    assert halves.carried == ("noise", "style")
    assert names(halves.downstream.graph.inputs) == ["first", "noise", "style"]


def test_a_graph_input_that_crosses_is_no_output_of_upstream() -> None:
    halves = cut(parse(REUSED_LATENT), "first")
    assert names(above(halves).graph.inputs) == ["z"]
    assert names(above(halves).graph.outputs) == ["first", "style"]


def test_upstream_gives_the_activation_and_then_what_is_carried() -> None:
    halves = cut(parse(SKIP), "second")
    assert halves.activation == "second"
    assert names(above(halves).graph.outputs) == ["second", "first"]
    assert names(halves.downstream.graph.inputs) == ["second", "first"]


def test_a_half_holds_only_what_it_needs() -> None:
    halves = cut(parse(CHAIN), "second")
    assert [node.op_type for node in halves.downstream.graph] == ["Conv", "Tanh"]
    assert list(halves.downstream.graph.initializers) == ["w_out"]
    assert "w_out" not in above(halves).graph.initializers


def test_the_whole_graph_stays_as_it_is() -> None:
    model = parse(SKIP)
    find_layers(model)
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    cut(model, "second")
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_weights_are_shared_not_copied() -> None:
    model = parse(CHAIN)
    halves = cut(model, "second")
    whole, part = (each.graph.initializers["w_out"] for each in (model, halves.downstream))
    assert part.const_value is whole.const_value


def test_what_constants_alone_decide_is_computed_again_downstream() -> None:
    text = SKIP.replace("Add(last, first)", "Add(last, constant)").replace(
        "flat = ", "constant = Mul(w_a, w_a)\n    flat = ", 1
    )
    model = parse(text, w_a=np.ones((1, 4, 4, 4), np.float32))
    halves = cut(model, "second")
    assert halves.carried == ()
    assert "Mul" in [node.op_type for node in halves.downstream.graph]


@pytest.mark.parametrize("batch", [1, 5])
def test_the_batchs_extent_is_read_from_the_activation(batch: int) -> None:
    model = batch_above()
    given = latents(model, batch)
    halves = cut(model, "first")
    assert halves.carried == ()
    assert names(halves.downstream.graph.inputs) == ["first"]
    (whole,) = run(model, given).values()
    np.testing.assert_array_equal(recomposed(halves, given), whole)


def test_both_halves_pass_onnxs_checker() -> None:
    for model in (parse(SKIP), parse(REUSED_LATENT), batch_above()):
        halves = cut(model, find_layers(model)[0].tensor)
        for half in (above(halves), halves.downstream):
            onnx.checker.check_model(ir.to_proto(half), full_check=True)


def test_a_cut_inside_a_condition_carries_what_its_branches_read() -> None:
    model = parse(
        """
        <ir_version: 10, opset_import: ["": 20]>
        branches (float[batch, 8] z) => (float[batch, 3, 4, 4] image) {
            flat = Gemm(z, w_fc)
            maps = Reshape(flat, shape_fc)
            first = Relu(maps)
            middle = Conv<pads = [1, 1, 1, 1]>(first, w_one)
            second = Relu(middle)
            last = Conv<pads = [1, 1, 1, 1]>(second, w_two)
            joined = If (yes) <
                then_branch = then_graph () => (float[batch, 4, 4, 4] a) { a = Add(last, first) },
                else_branch = else_graph () => (float[batch, 4, 4, 4] b) { b = Sub(last, first) }
            >
            image = Conv<pads = [1, 1, 1, 1]>(joined, w_out)
        }
        """,
        yes=np.array(True),
    )
    given = latents(model, 2)
    halves = cut(model, "second")
    assert halves.carried == ("first",)
    (whole,) = run(model, given).values()
    np.testing.assert_array_equal(recomposed(halves, given), whole)


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        ("image", "is the image itself"),
        ("w_fc", "is the same for every latent"),
        ("aside", "does not reach the image 'image'"),
    ],
)
def test_a_cut_where_nothing_could_be_edited_is_refused(tensor: str, reason: str) -> None:
    model = parse(SKIP.replace("second =", "aside = Neg(middle)\n    second =", 1))
    with pytest.raises(CutError, match=f"tensor '{tensor}' cannot be cut at: it {reason}"):
        cut(model, tensor)


def test_an_unknown_tensor_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownTensorError, match="'nine' is not in the graph; it computes: flat"):
        cut(parse(CHAIN), "nine")


def test_a_carried_tensor_without_a_batch_is_refused_by_name() -> None:
    text = SKIP.replace("Add(last, first)", "Add(last, average)").replace(
        "middle = ", "average = ReduceMean<keepdims = 1>(first, axis)\n    middle = ", 1
    )
    model = parse(text, axis=np.array([0]))
    with pytest.raises(CutError, match=r"cut at 'second': .* not the batch: 'average' \[1,4,4,4\]"):
        cut(model, "second")


def test_a_graph_that_draws_random_numbers_is_refused_by_its_node() -> None:
    text = SKIP.replace("Add(last, first)", "Add(last, noise)").replace(
        "joined = ", "noise = RandomNormalLike(last)\n    joined = ", 1
    )
    with pytest.raises(RandomGraphError, match="RandomNormalLike"):
        cut(parse(text), "second")


def test_every_refusal_is_a_graph_error() -> None:
    assert issubclass(CutError, GraphError)
    assert issubclass(UnknownTensorError, LookupError)
