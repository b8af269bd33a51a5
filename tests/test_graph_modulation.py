"""Facts about weights of a sample's own: taken apart, they compute what they computed."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from graftscope.exporter._sessions import CpuSession
from graftscope.graph import (
    choose_instead_of_scattering,
    free_batch,
    normalise,
    scale_instead_of_weights,
    without_empty_inputs,
)

TOLERANCE = 1e-5
RANDOM = np.random.default_rng(0)
SAMPLES = RANDOM.standard_normal((5, 4), np.float32)
CHANNELS, OUT, SIDE = 4, 3, 5


class Drawing:
    """A graph as it is written: z (1, 4) is the style, and what is convolved is made of it too."""

    def __init__(self, opset: int = 18) -> None:
        self.tape, self.opset = Tape(), opset
        self.z = ir.val("z", dtype=ir.DataType.FLOAT, shape=ir.Shape([1, CHANNELS]))
        spread = self.const(RANDOM.standard_normal((CHANNELS, CHANNELS * SIDE * SIDE)))
        self.maps = self.op("Reshape", self.op("MatMul", self.z, spread), self.ints(1, 4, 5, 5))

    def op(self, kind: str, *inputs: ir.Value | None, **attributes: object) -> ir.Value:
        return self.tape.op(kind, inputs, attributes)  # type: ignore[arg-type]  # ints and lists

    def const(self, array: object) -> ir.Value:
        return self.op("Constant", value=ir.tensor(np.asarray(array, np.float32)))

    def ints(self, *numbers: int) -> ir.Value:
        return self.op("Constant", value=ir.tensor(np.array(numbers, np.int64)))

    def model(self, image: ir.Value) -> ir.Model:
        image.name, image.type = "image", ir.TensorType(ir.DataType.FLOAT)
        graph = ir.Graph(
            [self.z], [image], nodes=self.tape.nodes, opset_imports={"": self.opset}, name="toy"
        )
        return normalise(ir.Model(graph, ir_version=10))


def modulated(drawing: Drawing, weights: ir.Value) -> ir.Value:
    """Return weights (1, C', C, k, k) times the style."""
    style = drawing.op("Reshape", drawing.z, drawing.ints(1, 1, CHANNELS, 1, 1))
    return drawing.op("Mul", weights, style)


def demodulated(drawing: Drawing, weights: ir.Value, square: str = "Mul") -> ir.Value:
    axes = drawing.ints(2, 3, 4)
    if square == "ReduceSumSquare":
        total = drawing.op("ReduceSumSquare", weights, axes, keepdims=0)
    else:
        two = weights if square == "Mul" else drawing.const(2.0)
        total = drawing.op("ReduceSum", drawing.op(square, weights, two), axes, keepdims=0)
    root = drawing.op("Sqrt", drawing.op("Add", total, drawing.const(1e-8)))
    return drawing.op("Div", weights, drawing.op("Reshape", root, drawing.ints(1, OUT, 1, 1, 1)))


def kernel(drawing: Drawing, size: int = 3) -> ir.Value:
    return drawing.const(RANDOM.standard_normal((1, OUT, CHANNELS, size, size)))


def flat(drawing: Drawing, weights: ir.Value, size: int = 3) -> ir.Value:
    return drawing.op("Reshape", weights, drawing.ints(OUT, CHANNELS, size, size))


def plain(drawing: Drawing) -> ir.Value:
    weights = flat(drawing, modulated(drawing, kernel(drawing)))
    return drawing.op("Conv", drawing.maps, weights, pads=[1, 1, 1, 1])


def demodulating(drawing: Drawing, square: str = "Mul") -> ir.Value:
    weights = flat(drawing, demodulated(drawing, modulated(drawing, kernel(drawing)), square))
    maps = drawing.op("Reshape", drawing.maps, drawing.ints(1, -1, SIDE, SIDE))
    return drawing.op("Conv", maps, weights, pads=[1, 1, 1, 1])


def with_power(drawing: Drawing) -> ir.Value:
    return demodulating(drawing, "Pow")


def with_sum_square(drawing: Drawing) -> ir.Value:
    return demodulating(drawing, "ReduceSumSquare")


def with_bias(drawing: Drawing) -> ir.Value:
    weights = flat(drawing, demodulated(drawing, modulated(drawing, kernel(drawing))))
    return drawing.op("Conv", drawing.maps, weights, drawing.const([1.0, -2.0, 3.0]))


def with_one_pixel(drawing: Drawing) -> ir.Value:
    weights = flat(drawing, demodulated(drawing, modulated(drawing, kernel(drawing, 1))), 1)
    return drawing.op("Conv", drawing.maps, weights)


def normalised(drawing: Drawing) -> ir.Value:
    """Styles over their mean square, which demodulation cancels."""
    mean = drawing.op("ReduceMean", drawing.op("Mul", drawing.z, drawing.z), keepdims=0)
    drawing.z, z = drawing.op("Div", drawing.z, drawing.op("Sqrt", mean)), drawing.z
    weights = flat(drawing, demodulated(drawing, modulated(drawing, kernel(drawing))))
    drawing.z = z
    return drawing.op("Conv", drawing.maps, weights)


def upsampling(drawing: Drawing) -> ir.Value:
    """A transposed convolution with a turned kernel, as StyleGAN2 doubles sizes."""
    weights = flat(drawing, demodulated(drawing, modulated(drawing, kernel(drawing))))
    weights = drawing.op("Transpose", weights, perm=[1, 0, 2, 3])
    ends = (drawing.ints(-1, -1), drawing.ints(-9, -9), drawing.ints(2, 3), drawing.ints(-1, -1))
    turned = drawing.op("Slice", weights, *ends)
    return drawing.op("ConvTranspose", drawing.maps, turned, strides=[2, 2])


CASES = [
    plain, demodulating, with_power, with_sum_square, with_bias, with_one_pixel, normalised,
    upsampling,
]  # fmt: skip


def images(model: ir.Model, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    content = ir.to_proto(model).SerializeToString()
    session = CpuSession(Path(), optimised=False, content=content)
    return next(iter(session.run({"z": samples}).values()))


def one_by_one(model: ir.Model) -> NDArray[np.float32]:
    return np.concatenate([images(model, sample[None]) for sample in SAMPLES])


def dependent(model: ir.Model) -> set[ir.Value]:
    """Return the tensors that depend on the sample."""
    found = set(model.graph.inputs)
    for node in model.graph:
        if not found.isdisjoint(node.inputs):
            found.update(node.outputs)
    return found


def own_weights(model: ir.Model) -> list[str]:
    """Return the convolutions whose weights depend on the sample."""
    convolutions = [node for node in model.graph if node.op_type.startswith("Conv")]
    return [node.op_type for node in convolutions if node.inputs[1] in dependent(model)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_scaled_maps_give_what_scaled_weights_gave_for_any_batch(case: object) -> None:
    drawing = Drawing()
    model = drawing.model(case(drawing))  # type: ignore[operator]  # one of CASES
    wanted = one_by_one(model)
    allowed = TOLERANCE * float(np.ptp(wanted))
    assert own_weights(model)
    assert scale_instead_of_weights(model) == 1
    assert own_weights(model) == []
    np.testing.assert_allclose(one_by_one(model), wanted, rtol=0, atol=allowed)
    free_batch(model)
    np.testing.assert_allclose(images(model, SAMPLES), wanted, rtol=0, atol=allowed)


@pytest.mark.parametrize("case", [demodulating, with_power, with_sum_square, normalised])
def test_demodulation_needs_no_weights_of_a_samples_own(case: object) -> None:
    drawing = Drawing()
    model = drawing.model(case(drawing))  # type: ignore[operator]  # one of CASES
    scale_instead_of_weights(model)
    sizes = [value.shape.numpy() for value in dependent(model) if value.shape is not None]
    assert max([0, *(int(np.prod(size)) for size in sizes if len(size) == 5)]) <= CHANNELS


def test_weights_that_are_more_than_a_product_are_left_as_they_are() -> None:
    drawing = Drawing()
    shift = drawing.op("Reshape", drawing.z, drawing.ints(1, 1, CHANNELS, 1, 1))
    weights = flat(drawing, drawing.op("Add", kernel(drawing), shift))
    model = drawing.model(drawing.op("Conv", drawing.maps, weights))
    before = [node.op_type for node in model.graph]
    assert scale_instead_of_weights(model) == 0
    assert [node.op_type for node in model.graph] == before


def test_what_is_scattered_to_constant_places_is_chosen() -> None:
    drawing = Drawing()
    spots = drawing.ints(*np.array([[[0, 1, 2, 3], [0, 2, 0, 1]]]).reshape(-1).tolist())
    places = drawing.op("Reshape", spots, drawing.ints(1, 2, 4))
    updates = drawing.op("Slice", drawing.z, drawing.ints(0), drawing.ints(2), drawing.ints(1))
    scattered = drawing.op("ScatterND", drawing.maps, places, updates)
    rows = np.broadcast_to(np.array([4, 0])[None, None, :, None], (1, 4, 2, 5)).reshape(-1)
    index = drawing.op("Reshape", drawing.ints(*rows.tolist()), drawing.ints(1, 4, 2, 5))
    halves = drawing.op("Slice", drawing.maps, drawing.ints(1), drawing.ints(3), drawing.ints(2))
    model = drawing.model(drawing.op("ScatterElements", scattered, index, halves, axis=2))
    wanted = one_by_one(model)
    _fold(model)
    choose_instead_of_scattering(model)
    assert not any(node.op_type.startswith("Scatter") for node in model.graph)
    free_batch(model)
    np.testing.assert_array_equal(images(model, SAMPLES), wanted)


def _fold(model: ir.Model) -> None:
    """Make constants of what is reshaped constants, as an import does."""
    for node in list(model.graph):
        data, *others = node.inputs
        if node.op_type == "Reshape" and data is not None and data.const_value is not None:
            assert others[0] is not None
            assert others[0].const_value is not None
            array = data.const_value.numpy().reshape(others[0].const_value.numpy())
            value = ir.val(f"{node.outputs[0].name}_folded", const_value=ir.tensor(array))
            model.graph.register_initializer(value)
            node.outputs[0].replace_all_uses_with(value)


def test_an_input_that_holds_nothing_is_made_of_another() -> None:
    drawing = Drawing()
    c = ir.val("c", dtype=ir.DataType.FLOAT, shape=ir.Shape([1, 0]))
    joined = drawing.op("Concat", drawing.z, c, axis=1)
    model = drawing.model(drawing.op("Reshape", joined, drawing.ints(1, CHANNELS, 1, 1)))
    model.graph.inputs.append(c)
    assert without_empty_inputs(model) == ("c",)
    assert [value.name for value in model.graph.inputs] == ["z"]
    np.testing.assert_array_equal(one_by_one(model), SAMPLES[:, :, None, None])
