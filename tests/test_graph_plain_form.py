"""Facts about `graftscope.graph.normalise` and `strip_metadata`."""

import numpy as np
import onnx
import onnx_ir as ir

from graftscope.graph import normalise, strip_metadata
from onnx_toys import CHAIN, SKIP, latents, parse, run

SECRET = "/home/somebody/model.py"

WITH_CONSTANT = """
<ir_version: 10, opset_import: ["": 20]>
toy (float[batch, 8] z) => (float[batch, 4, 4, 4] image) {
    shape = Constant<value_ints = [-1, 4, 4, 4]>()
    unused = Neg(z)
    flat = Gemm(z, w_fc)
    image = Reshape(flat, shape)
}
"""


def with_secrets(text: str) -> ir.Model:
    model = parse(text)
    model.doc_string = model.graph.doc_string = SECRET
    for properties in (model.metadata_props, model.graph.metadata_props):
        properties["source"] = SECRET
    for node in model.graph:
        node.doc_string = node.metadata_props["source"] = SECRET
        node.outputs[0].metadata_props["source"] = SECRET
    for value in model.graph.initializers.values():
        value.metadata_props["source"] = SECRET
        value.const_value = ir.Tensor(np.ones((2, 2), np.float32), doc_string=SECRET)
    return model


def test_constants_become_initializers_and_the_unused_goes() -> None:
    plain = normalise(parse(WITH_CONSTANT))
    assert [node.op_type for node in plain.graph] == ["Gemm", "Reshape"]
    assert set(plain.graph.initializers) == {"w_fc", "shape"}


def test_normalising_changes_no_number() -> None:
    for text in (WITH_CONSTANT, SKIP):
        given = latents(parse(text), 3)
        before, after = run(parse(text), given), run(normalise(parse(text)), given)
        np.testing.assert_array_equal(before["image"], after["image"])


def test_initializers_that_are_inputs_too_are_inputs_no_more() -> None:
    model = parse(CHAIN)
    model.graph.inputs.append(model.graph.initializers["w_fc"])
    assert [value.name for value in normalise(model).graph.inputs] == ["z"]


def test_functions_are_inlined() -> None:
    proto = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["": 20, "own": 1]>
        toy (float[batch, 8] z) => (float[batch, 8] image) { image = own.twice(z) }
        <opset_import: ["": 20], domain: "own">
        twice (x) => (y) { y = Add(x, x) }
        """
    )
    plain = normalise(ir.from_proto(proto))
    assert [node.op_type for node in plain.graph] == ["Add"]
    assert not plain.functions
    assert list(plain.opset_imports) == [""]


def test_shapes_are_inferred() -> None:
    assert all(value.shape for node in normalise(parse(CHAIN)).graph for value in node.outputs)


def test_stripping_leaves_no_metadata_anywhere() -> None:
    model = with_secrets(CHAIN)
    assert SECRET.encode() in ir.to_proto(model).SerializeToString()
    strip_metadata(model)
    assert SECRET.encode() not in ir.to_proto(model).SerializeToString()


def test_stripping_sorts_what_chance_ordered() -> None:
    model = parse(CHAIN)
    strip_metadata(model)
    assert list(model.graph.initializers) == sorted(model.graph.initializers)
    attributes = [list(node.attributes) for node in model.graph]
    assert attributes == [sorted(names) for names in attributes]


def test_stripping_changes_no_number() -> None:
    model = parse(SKIP)
    given = latents(model, 2)
    before = run(model, given)["image"]
    strip_metadata(model)
    np.testing.assert_array_equal(run(model, given)["image"], before)
