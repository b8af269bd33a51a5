"""Nearest upsampling done as late as it can be, and never before a convolution.

1. Steps that mix nothing but places of a channel or group of channels are done before an upsampling
   that they read: a normalisation's statistics are the same, and there are fewer places.
2. A convolution of single places (1 x 1) too.
3. A larger one of stride 1 becomes a transposed convolution of what is not upsampled: s * s places
   that hold the same are multiplied once, by the sum of their weights. `subpixel` then gives every
   phase its own taps: 2 x 2 of them where there were 3 x 3.
4. Whatever else reads it reads an upsampling that stands behind what was moved.

Images and residual branches that are upsampled too are added before, where all operands are.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from graftscope.graph._operations import operation
from graftscope.graph.rewrites._channelwise import copied, step_at
from graftscope.graph.rewrites._geometry import Convolution
from graftscope.graph.rewrites._nodes import clean, extents, floats, replace, sized, weights

_CENTRED = "half_pixel"


def move_upsampling(model: ir.Model) -> ir.Model:
    """Moves nearest upsampling behind what gives the same before it; in place.

    Args:
        model: best after `fold_normalisation`, and followed by `subpixel`.

    Returns:
        The same model.
    """
    moving = _Moving(model.graph)
    for node in list(model.graph):
        moving.see(node)
    moving.end()
    clean(model)
    return model


@dataclass(eq=False)
class _Moving:
    """What is known while the nodes are seen in order.

    Attributes:
        graph: changed at the end.
        small: upsampled images -> what they are of.
        strides: by how much each of them is upsampled.
        moved: nodes that another stands for.
        instead: outputs of convolutions -> the transposed ones that stand for them.
    """

    graph: ir.Graph
    small: dict[ir.Value, ir.Value] = field(default_factory=dict)
    strides: dict[ir.Value, int] = field(default_factory=dict)
    moved: set[ir.Node] = field(default_factory=set)
    instead: dict[ir.Value, ir.Value] = field(default_factory=dict)

    def see(self, node: ir.Node) -> None:
        """One node, after all that it reads from."""
        stride, source = nearest(node), node.inputs[0] if node.inputs else None
        if source is None or node in self.moved:
            return
        if stride is not None:
            image, before = self.small.get(source, source), self.strides.get(source, 1)
            self._note(node.outputs[0], image, stride * before)
            self.moved.add(node)
        elif operation(node) == "Conv":
            if source in self.small:
                self._convolution(node, source)
        else:
            self._step(node)

    def end(self) -> None:
        """Lets the rest read what was moved."""
        for output, transposed in self.instead.items():
            replace(self.graph, output, transposed)
        for full, image in self.small.items():
            readers = [use.node for use in full.uses() if use.node not in self.moved]
            if readers or full.is_graph_output():
                self._upsample(full, image)

    def _note(self, full: ir.Value, image: ir.Value, stride: int) -> None:
        self.small[full], self.strides[full] = image, stride

    def _step(self, node: ir.Node) -> None:
        step = step_at(node, self.small)
        if step is None:
            return
        strides = {self.strides[x] for x in step.images}
        if len(strides) == 1 and extents(step.images[0], 4) is not None:
            image = step.whole(Tape(self.graph), self.small)
            self._note(step.output, image, *strides)
            self.moved.update(step.nodes)

    def _convolution(self, node: ir.Node, source: ir.Value) -> None:
        tape, image, output = Tape(self.graph), self.small[source], node.outputs[0]
        shape, before = extents(output, 4), extents(image, 4)
        if shape is None or before is None:
            return
        if _is_pointwise(node, shape, before, self.strides[source]):
            moved = copied(tape, node, [image, *node.inputs[1:]])
            self._note(output, sized(moved, shape[0], *before[1:]), self.strides[source])
        else:
            transposed = _transposed(tape, node, image, self.strides[source])
            if transposed is None:
                return
            self.instead[output] = transposed
        self.moved.add(node)

    def _upsample(self, full: ir.Value, image: ir.Value) -> None:
        tape, stride = Tape(self.graph), self.strides[full]
        scales = floats(tape, np.array([1, 1, stride, stride], np.float32))
        attributes = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
        wide = tape.op("Resize", [image, None, scales], attributes)
        wide.shape, wide.type = full.shape, ir.TensorType(ir.DataType.FLOAT)
        for use in tuple(full.uses()):
            if use.node not in self.moved:
                use.node.replace_input_with(use.idx, wide)
        if full.is_graph_output():
            replace(self.graph, full, wide)


def nearest(node: ir.Node) -> int | None:
    """By how much a node repeats the places of images, rows as columns; None where it does not."""
    if operation(node) != "Resize" or node.attributes.get_string("mode", "nearest") != "nearest":
        return None
    before, after = extents(node.inputs[0], 4), extents(node.outputs[0], 4)
    if before is None or after is None or before[0] != after[0]:
        return None
    scales = weights(node.inputs[2]) if len(node.inputs) > 2 else None
    stride = after[1] // before[1]
    if scales is None or scales.tolist() != [1, 1, stride, stride] or stride < 2:
        return None
    where = node.attributes.get_string("coordinate_transformation_mode", _CENTRED)
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    repeats = (where, rounding) == ("asymmetric", "floor") or (
        where == _CENTRED and rounding.startswith("round_prefer")
    )
    return stride if repeats else None


def _is_pointwise(
    node: ir.Node, shape: tuple[int, ...], before: tuple[int, ...], stride: int
) -> bool:
    kernel = weights(node.inputs[1])
    return (
        kernel is not None
        and kernel.shape[2:] == (1, 1)
        and shape[1:] == (before[1] * stride, before[2] * stride)
    )


def _transposed(tape: Tape, node: ir.Node, image: ir.Value, stride: int) -> ir.Value | None:
    """A convolution of an upsampled image as a transposed one; None where it is none of those."""
    convolution = Convolution.of(node)
    if convolution is None or convolution.stride != (1, 1):
        return None
    kernel = _spread(convolution.kernel, stride)
    height, width = convolution.kernel.shape[2:]
    if [len(axis.window) for axis in convolution.axes] != [height, width]:
        return None  # Taps with holes between them.
    pads = convolution.pads((convolution.axes[0].window, convolution.axes[1].window))
    cut = [height - 1 - pads[0], width - 1 - pads[1], height - 1 - pads[2], width - 1 - pads[3]]
    if min(cut) < 0:
        return None
    inputs = [image, floats(tape, kernel), floats(tape, convolution.bias)]
    attributes = {"strides": [stride, stride], "pads": cut}
    result = tape.op("ConvTranspose", inputs, attributes)
    shape = extents(node.outputs[0], 4)
    assert shape is not None
    known = Convolution.of(sized(result, *shape).producer())
    # Without phases, a transposed convolution is slow.
    return result if known is not None and known.stride == (stride, stride) else None


def _spread(kernel: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """(O, C, kh, kw) to that of the transposed convolution, (C, O, kh + s - 1, kw + s - 1)."""
    outputs, inputs, height, width = kernel.shape
    turned = kernel[:, :, ::-1, ::-1].astype(np.float64)
    result = np.zeros((outputs, inputs, height + stride - 1, width + stride - 1))
    for row in range(stride):
        for column in range(stride):
            result[:, :, row : row + height, column : column + width] += turned
    return result.transpose(1, 0, 2, 3).astype(np.float32)
