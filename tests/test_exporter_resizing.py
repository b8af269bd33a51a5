"""Facts about files of old operation sets: what they resize means the same after the conversion.

ONNX Runtime, which still runs the old operations, tells the truth.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from graftscope.exporter import ProofError, SourceError, export
from graftscope.exporter.sources._onnx_file import read_onnx

Scales = tuple[float, float]
OLD = """
<ir_version: 4, opset_import: ["": 9]>
old (float[batch, 16, 1, 1] z) => (float[batch, 3, 8, 8] image) {
    maps = ConvTranspose(z, w_first)
    first = Relu(maps)
    up = Upsample<mode = "linear">(first, scales)
    middle = Conv<pads = [1, 1, 1, 1]>(up, w_middle)
    second = LeakyRelu<alpha = 0.2>(middle)
    colours = Conv<pads = [1, 1, 1, 1]>(second, w_last)
    image = Tanh(colours)
}
"""
WEIGHTS = {"w_first": (16, 8, 4, 4), "w_middle": (8, 8, 3, 3), "w_last": (3, 8, 3, 3)}


def resizing(operation: str, opset: int, mode: str, scales: Scales) -> onnx.ModelProto:
    """Return a graph of two resizings in a row, the second by the same scales."""
    numbers = [1.0, 1.0, *scales]
    attributes: dict[str, Any] = {"mode": mode} | ({"scales": numbers} if opset < 9 else {})
    more = [] if opset < 9 else ["scales"]
    graph = helper.make_graph(
        [
            helper.make_node(operation, ["x", *more], ["once"], **attributes),
            helper.make_node(operation, ["once", *more], ["y"], **attributes),
        ],
        "resizing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 6, 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2, None, None])],
        [helper.make_tensor("scales", TensorProto.FLOAT, [4], numbers)] if more else [],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=4)


def computed(model: onnx.ModelProto, **given: NDArray[np.float32]) -> NDArray[np.float32]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, given)[0], np.float32)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("operation", "opset", "scales"),
    [
        ("Upsample", 7, (2, 2)),
        ("Upsample", 9, (2, 2)),
        ("Upsample", 9, (1.7, 2.5)),
        ("Resize", 10, (2, 3)),
        ("Resize", 10, (1.7, 1)),
        ("Resize", 10, (0.5, 0.5)),
        ("Resize", 10, (0.7, 0.4)),
    ],
)
def test_a_resizing_means_what_it_meant(
    tmp_path: Path, operation: str, opset: int, scales: Scales, mode: str
) -> None:
    old = resizing(operation, opset, mode, scales)
    onnx.save(old, tmp_path / "old.onnx")
    new = ir.to_proto(read_onnx(tmp_path / "old.onnx"))
    x = np.random.default_rng(1).standard_normal((2, 2, 6, 9)).astype(np.float32)
    np.testing.assert_array_equal(computed(new, x=x), computed(old, x=x))


def test_larger_and_smaller_at_once_is_refused_where_the_nearest_pixel_is_taken(
    tmp_path: Path,
) -> None:
    onnx.save(resizing("Resize", 10, "nearest", (2, 0.5)), tmp_path / "old.onnx")
    with pytest.raises(
        SourceError, match=r"^node 'once' resizes by \[1.0, 1.0, 2.0, 0.5\], larger"
    ):
        read_onnx(tmp_path / "old.onnx")
    old = resizing("Resize", 10, "linear", (2, 0.5))
    onnx.save(old, tmp_path / "old.onnx")
    x = np.random.default_rng(1).standard_normal((2, 2, 6, 9)).astype(np.float32)
    new = ir.to_proto(read_onnx(tmp_path / "old.onnx"))
    np.testing.assert_array_equal(computed(new, x=x), computed(old, x=x))


def saved(path: Path, text: str = OLD) -> Path:
    """Write a generator that upsamples as files of operation set 9 do."""
    model = onnx.parser.parse_model(text)
    random = np.random.default_rng(4)
    arrays = {name: random.standard_normal(shape) * 0.2 for name, shape in WEIGHTS.items()}
    arrays["scales"] = np.array([1, 1, 2, 2])
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in arrays.items()
    )
    path.write_bytes(model.SerializeToString())
    return path


def test_a_generator_of_an_old_operation_set_is_exported(tmp_path: Path) -> None:
    exported = export(saved(tmp_path / "old.onnx"), tmp_path / "toy")
    assert [layer.tensor for layer in exported.manifest.layers] == ["z", "first", "second"]


def test_a_proof_that_fails_behind_a_conversion_says_so(tmp_path: Path) -> None:
    """The converter forgets that Hardmax ran over all axes behind the batch together."""
    old = saved(tmp_path / "old.onnx", OLD.replace("LeakyRelu<alpha = 0.2>", "Hardmax"))
    with pytest.raises(ProofError) as refused:
        export(old, tmp_path / "toy")
    assert "against its source's is off by " in str(refused.value)
    assert str(refused.value).endswith(
        "; the file was converted from operation set 9 to 18, which is the likely cause: export "
        "it with operation set 18 or newer"
    )
    assert not (tmp_path / "toy").exists()
