"""Plain chains of convolutions in a graph, for those who compute them without one.

Such are the tails of plain decoders. A downstream half is a chain where

1. it reads the activation alone, in float32, and gives one output, the image;
2. every stage is a `Conv` or `ConvTranspose` of constant float32 weights in one group, of stride 1
   or, transposed, 2, whose result has exactly the extents that ONNX gives it;
3. a stage ends in any number of elementwise operations among `ELEMENTWISE`, with constant limits;
4. the first stage reads the activation, every other one the stage before, and nobody else does.

Anything else is no chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._splice import activation_first
from graftscope.graph.rewrites._fold import fold_normalisation
from graftscope.graph.rewrites._geometry import Convolution
from graftscope.graph.rewrites._nodes import extents, only_use, weights

ELEMENTWISE = frozenset({"Clip", "Identity", "LeakyRelu", "Relu", "Sigmoid", "Tanh"})
"""The elementwise operations that a stage may end in."""

_STRIDES = ((1, 1), (2, 2))
_ALPHA = 0.01
_LARGEST = 3.4028234663852886e38


@dataclass(frozen=True)
class Elementwise:
    """An operation on each element by itself.

    Attributes:
        name: among `ELEMENTWISE`.
        parameters: the slope of LeakyRelu; the lowest and the highest value of Clip.
    """

    name: str
    parameters: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Stage:
    """One convolution and what is done with its result.

    Attributes:
        convolution: its weights and its geometry.
        inputs: channels, height and width of what it reads.
        outputs: the same of what it gives.
        then: in order.
    """

    convolution: Convolution
    inputs: tuple[int, int, int]
    outputs: tuple[int, int, int]
    then: tuple[Elementwise, ...]

    @property
    def source(self) -> str:
        """The tensor that it reads."""
        value = self.convolution.node.inputs[0]
        return (value.name or "") if value is not None else ""

    @property
    def multiplications(self) -> int:
        """Multiplications of one sample."""
        rows, columns = (axis.length * sum(map(len, axis.taps)) for axis in self.convolution.axes)
        return rows * columns * self.inputs[0] * self.outputs[0]


def chain_of(downstream: ir.Model, activation: str | None = None) -> tuple[Stage, ...]:
    """The stages of a downstream half, the first one first; none where it is no plain chain.

    Args:
        downstream: a downstream half; changed in place.
        activation: the activation's name; None takes the first input.
    """
    fold_normalisation(downstream)
    edited, carried = activation_first(downstream.graph, activation)
    if edited.dtype != ir.DataType.FLOAT or carried or len(downstream.graph.outputs) != 1:
        return ()
    stages: list[Stage] = []
    value: ir.Value = edited
    while not value.is_graph_output():
        stage = _stage(value)
        if stage is None:
            return ()
        found, value = stage
        stages.append(found)
    return tuple(stages)


def chain_above(upstream: ir.Model) -> tuple[Stage, ...]:
    """The stages that an upper half ends in, the last one last; none where it ends in none.

    Args:
        upstream: an upper half with one output; changed in place.
    """
    fold_normalisation(upstream)
    stages: list[Stage] = []
    (value,) = upstream.graph.outputs
    while (found := _stage_above(value)) is not None:
        stage, value = found
        stages.append(stage)
    return tuple(reversed(stages))


def _stage_above(value: ir.Value) -> tuple[Stage, ir.Value] | None:
    """The stage that gives a value, and what it reads; others may read what lies between."""
    result, then = value, list[Elementwise]()
    while (found := _elementwise(result.producer())) is not None:
        node, elementwise = found
        then.append(elementwise)
        before = node.inputs[0]
        if before is None:
            return None
        result = before
    convolution = Convolution.of(result.producer())
    if convolution is None:
        return None
    stage = _of(convolution, tuple(reversed(then)))
    source = convolution.node.inputs[0]
    if stage is None or source is None or source.dtype != ir.DataType.FLOAT:
        return None
    return stage, source


def _stage(value: ir.Value) -> tuple[Stage, ir.Value] | None:
    """The stage that alone reads a value, and what it gives."""
    convolution = Convolution.of(only_use(value))
    if convolution is None or convolution.node.inputs[0] is not value:
        return None
    result, then = convolution.node.outputs[0], list[Elementwise]()
    while (found := _elementwise(only_use(result))) is not None:
        behind, elementwise = found
        then.append(elementwise)
        result = behind.outputs[0]
    stage = _of(convolution, tuple(then))
    return None if stage is None else (stage, result)


def _of(convolution: Convolution, then: tuple[Elementwise, ...]) -> Stage | None:
    node = convolution.node
    inputs, outputs = extents(node.inputs[0], 4), extents(node.outputs[0], 4)
    if convolution.stride not in _STRIDES or inputs is None or outputs is None:
        return None
    if not _is_exact(convolution, inputs, outputs):
        return None
    return Stage(convolution, _three(inputs), _three(outputs), then)


def _is_exact(convolution: Convolution, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> bool:
    """Whether weights, stated extents and geometry tell of the same convolution."""
    kernel, bias, axes = convolution.kernel, convolution.bias, convolution.axes
    stated = tuple(axis.stride * axis.length for axis in axes)
    return (
        kernel.dtype == bias.dtype == np.float32
        and kernel.shape[:2] == (outputs[0], inputs[0])
        and bias.shape == outputs[:1]
        and outputs[1:] == stated == tuple(_length(convolution, i) for i in range(2))
        and inputs[1:] == tuple(axis.input for axis in axes)
    )


def _length(convolution: Convolution, i: int) -> int:
    """The extent of a convolution's output along an axis, as ONNX defines it."""
    node, axis = convolution.node, convolution.axes[i]

    def given(name: str, default: Sequence[int]) -> Sequence[int]:
        return tuple(node.attributes.get_ints(name, default))

    pads, padding = given("pads", (0,) * 4), given("output_padding", (0, 0))[i]
    beyond: int = given("dilations", (1, 1))[i] * (convolution.kernel.shape[2 + i] - 1)
    cut = pads[i] + pads[2 + i]
    if operation(node) == "Conv":
        return axis.input + cut - beyond
    return axis.stride * (axis.input - 1) + 1 + beyond + padding - cut


def _elementwise(node: ir.Node | None) -> tuple[ir.Node, Elementwise] | None:
    if node is None or operation(node) not in ELEMENTWISE:
        return None
    name = node.op_type
    if name == "LeakyRelu":
        return node, Elementwise(name, (node.attributes.get_float("alpha", _ALPHA),))
    if name != "Clip":
        return node, Elementwise(name)
    if node.attributes:
        return None  # Limits as they were written before opset 11.
    limits = [-_LARGEST, _LARGEST]
    for i, value in enumerate(node.inputs[1:]):
        limit = weights(value)
        if value is not None and limit is None:
            return None
        limits[i] = float(limit.reshape(-1)[0]) if limit is not None else limits[i]
    return node, Elementwise(name, tuple(limits))


def _three(extents: tuple[int, ...]) -> tuple[int, int, int]:
    channels, height, width = extents
    return channels, height, width
