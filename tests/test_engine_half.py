"""A graph in float16: where float16 is exact the numbers are the same, and sums are in float64."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from graftscope.graph import (
    IMAGE1,
    ORIGINAL1,
    ORIGINAL2,
    PIXEL_MEANS,
    SETS,
    TOTAL,
    reduce_effects,
    splice,
)
from graftscope.server.engine import Backend, Precision
from graftscope.server.engine._devices import Graph
from graftscope.server.engine._float16 import in_float16
from graftscope.server.engine._precision import CPU
from graftscope.server.engine._sessions import Session

# ONNX Runtime's CPU provider computes float16 operations in float32 between roundings.
HALF = Backend(CPU, Precision.FP16)


def half_model(weights: NDArray[np.floating]) -> onnx.ModelProto:
    """A downstream half: activations (B, C, 2, 2) to images (B, c, 2, 2) by a 1 x 1 convolution."""
    activation = helper.make_tensor_value_info("a", TensorProto.FLOAT, ["batch", 2, 2, 2])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 2, 2])
    node = helper.make_node("Conv", ["a", "w"], ["image"])
    initial = [numpy_helper.from_array(weights.astype(np.float32), "w")]
    graph = helper.make_graph([node], "half", [activation], [image], initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def effects_graph(weights: NDArray[np.floating]) -> Graph:
    model = reduce_effects(splice(ir.from_proto(half_model(weights))))
    return Graph(ir.to_proto(model).SerializeToString(), Path())


def feeds(scale: float) -> dict[str, NDArray[np.generic]]:
    whole = np.arange(3 * 2 * 2 * 2, dtype=np.float32).reshape(3, 2, 2, 2)
    return {
        ORIGINAL1: whole,
        ORIGINAL2: whole[::-1] + 1,
        SETS: np.eye(2, dtype=np.bool_),
        IMAGE1: np.full((3, 1, 2, 2), scale, dtype=np.float32),
    }


def test_whole_numbers_give_the_same_sums() -> None:
    graph = effects_graph(np.array([[[[2.0]], [[3.0]]]]))
    plain, half = (Session(graph, x).run(feeds(7.0)) for x in (Backend(CPU), HALF))
    for name in plain:
        np.testing.assert_array_equal(half[name].numpy(), plain[name].numpy())
    assert half[TOTAL].numpy().dtype == np.float64


def test_weights_are_rounded_to_float16() -> None:
    def means(weight: np.generic, backend: Backend) -> NDArray[np.float64]:
        graph = effects_graph(np.array([[[[weight]], [[0.0]]]]))
        found: NDArray[np.float64] = Session(graph, backend).run(feeds(0.0))[PIXEL_MEANS].numpy()
        return found

    third = np.float32(1 / 3)
    exact, rounded = (means(x, Backend(CPU)) for x in (third, np.float16(third)))
    # Images of up to 24 / 3 are rounded too, to 11 bits.
    np.testing.assert_allclose(means(third, HALF), rounded, rtol=2.0**-10)
    assert not np.array_equal(exact, rounded)


def test_what_is_compared_with_original_1_is_not_rounded() -> None:
    tenth = np.float32(0.1)  # Not a number of float16.
    graph = effects_graph(np.zeros((1, 2, 1, 1)))
    means = Session(graph, HALF).run(feeds(float(tenth)))[PIXEL_MEANS].numpy()
    np.testing.assert_array_equal(means, np.full((2, 3), np.float64(tenth)))


def test_inputs_and_outputs_keep_their_types_and_weights_may_lie_in_a_file(tmp_path: Path) -> None:
    model = half_model(np.array([[[[2.0]], [[3.0]]]]))
    onnx.save(
        model,
        tmp_path / "half.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    activation = feeds(0.0)[ORIGINAL1].astype(np.float32)
    bare = onnx.load(tmp_path / "half.onnx", load_external_data=False).SerializeToString()
    for source in (tmp_path / "half.onnx", bare):
        converted = onnx.load_model_from_string(in_float16(source, tmp_path))
        types = {
            x.type.tensor_type.elem_type for x in (*converted.graph.input, *converted.graph.output)
        }
        assert types == {TensorProto.FLOAT}
        assert [x.data_type for x in converted.graph.initializer] == [TensorProto.FLOAT16]
        image = Session(Graph(source, tmp_path), HALF).run({"a": activation})["image"].numpy()
        np.testing.assert_array_equal(image[:, 0], 2 * activation[:, 0] + 3 * activation[:, 1])
