"""Which convolution leads from a layer to the next one, and its kernels.

Rules
1. Between two layers lies one (transposed) convolution of constant weights with two axes, with any
   number of groups.
2. It reads the upper layer itself. Padding leaves the maps as they are, but for the border; nearest
   neighbours by a whole factor are a kernel of ones behind zeros, and are joined with the
   convolution's own.
3. Behind it come operations that treat every pixel of a channel alike, up to the lower layer:
   normalisation, nonlinearity, a constant that is added or multiplied.

Axes: C channels of the upper layer, O outputs that each leads to. It must not know what kernels are
asked for.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph._operations import operation
from graftscope.graph._shapes import static_extents
from graftscope.graph._tensors import image_of, name_of, tensor_named
from graftscope.graph.errors import NoKernelsError

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_ALIKE = frozenset(
    {
        "BatchNormalization",
        "Cast",
        "Celu",
        "Clip",
        "Dropout",
        "Elu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "InstanceNormalization",
        "LeakyRelu",
        "Mish",
        "PRelu",
        "Relu",
        "Selu",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Tanh",
    }
)
_WITH_CONSTANT = frozenset({"Add", "Sub", "Mul", "Div"})
_TRANSPARENT = frozenset({"Identity", "Dropout", "Pad"})


@dataclass(frozen=True, eq=False)
class LayerKernels:
    """What leads from one layer to the next.

    Attributes:
        values: (C, O, kh, kw) float64; with several groups, the outputs of each channel's own.
        upsampling: by how many rows and columns are spread, with zeros between.
        dilation: pixels from one entry of a kernel to the next.
    """

    values: NDArray[np.float64]
    upsampling: tuple[int, int]
    dilation: tuple[int, int]


def kernels_between(model: ir.Model, upper: str, lower: str | None) -> LayerKernels:
    """Read the kernels that lead from a layer to another one, or to the image.

    Args:
        model: A generator with one output.
        upper: The upper layer's tensor, a map (B, C, H, W).
        lower: The lower layer's tensor; None for the image.

    Raises:
        NoKernelsError: If something else lies between them; the message says what.
        UnknownTensorError: If there is no such tensor.
    """
    graph = model.graph
    first = tensor_named(graph, upper)
    last = image_of(graph) if lower is None else tensor_named(graph, lower)
    node = _convolution_behind(last)
    kernel = _constant(node.inputs[1])
    if kernel is None or kernel.ndim != 4:
        what = "weights that are computed" if kernel is None else f"{kernel.ndim - 2} axes"
        raise NoKernelsError(f"the convolution between them has {what}")
    spread = _upsampling_before(node, first)
    groups = node.attributes.get_int("group", 1)
    values = _by_input(kernel.astype(np.float64), operation(node), groups)
    stride, dilation = (_pair(node, name) for name in ("strides", "dilations"))
    if operation(node) == "ConvTranspose":
        if spread != (1, 1):
            raise NoKernelsError("the maps are resampled before a transposed convolution")
        return LayerKernels(values, stride, dilation)
    if spread == (1, 1):
        return LayerKernels(values, spread, dilation)
    return LayerKernels(_behind_ones(_spread(values, dilation), spread), spread, (1, 1))


def _convolution_behind(value: ir.Value) -> ir.Node:
    """The convolution that makes a value, but for operations that treat pixels alike."""
    while True:
        node = value.producer()
        if node is None:
            raise NoKernelsError(f"{name_of(value)!r} is an input of the graph")
        kind = operation(node)
        if kind in _CONVOLUTIONS:
            return node
        read = [x for x in node.inputs if x is not None and _constant(x) is None]
        if kind not in _ALIKE and not (kind in _WITH_CONSTANT and len(read) == 1):
            what = "a sum of several paths" if kind == "Add" else f"the operation {kind}"
            raise NoKernelsError(f"{what} lies between them, and not a convolution alone")
        value = read[0]


def _upsampling_before(node: ir.Node, upper: ir.Value) -> tuple[int, int]:
    """By how much maps are enlarged before a convolution reads them."""
    value, spread = node.inputs[0], (1, 1)
    while value is not upper:
        assert value is not None
        before = value.producer()
        kind = None if before is None else operation(before)
        if before is None or kind not in _TRANSPARENT | {"Resize", "Upsample"}:
            what = "an input" if before is None else f"what {kind} gives"
            raise NoKernelsError(f"the convolution between them reads {what}, not the layer itself")
        if kind in ("Resize", "Upsample"):
            down, right = _nearest_factors(before)
            spread = spread[0] * down, spread[1] * right
        value = before.inputs[0]
    return spread


def _nearest_factors(node: ir.Node) -> tuple[int, int]:
    read = node.inputs[0]
    assert read is not None
    before, after = static_extents(read), static_extents(node.outputs[0])
    nearest = node.attributes.get_string("mode", "nearest") == "nearest"
    if not nearest or before is None or after is None:
        raise NoKernelsError("the maps are resampled between them, not by nearest neighbours")
    if after[1] % before[1] or after[2] % before[2]:
        raise NoKernelsError("the maps are resampled between them by no whole factor")
    return after[1] // before[1], after[2] // before[2]


def _constant(value: ir.Value | None) -> NDArray[np.generic] | None:
    """A constant's elements; None where the value is computed or absent."""
    if value is None:
        return None
    if value.const_value is not None:
        return np.asarray(value.const_value.numpy())
    node = value.producer()
    if node is None or operation(node) != "Constant" or "value" not in node.attributes:
        return None
    return np.asarray(node.attributes["value"].as_tensor().numpy())


def _by_input(kernel: NDArray[np.float64], kind: str, groups: int) -> NDArray[np.float64]:
    """(C, O, kh, kw) of a node's weights: those of its group for each channel that is read."""
    if kind == "ConvTranspose":
        return kernel  # (C, O / groups, kh, kw) already.
    outputs, read, *size = kernel.shape  # (O, C / groups, kh, kw)
    by_group = kernel.reshape(groups, outputs // groups, read, *size).swapaxes(1, 2)
    return by_group.reshape(groups * read, outputs // groups, *size)


def _spread(values: NDArray[np.float64], dilation: tuple[int, int]) -> NDArray[np.float64]:
    """Kernels with the zeros of their dilation written out."""
    down, right = dilation
    *outer, rows, columns = values.shape
    spread = np.zeros((*outer, down * (rows - 1) + 1, right * (columns - 1) + 1))
    spread[..., ::down, ::right] = values
    return spread


def _behind_ones(values: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Kernels that read what a kernel of ones of this size gives."""
    *outer, rows, columns = values.shape
    joined = np.zeros((*outer, rows + size[0] - 1, columns + size[1] - 1))
    for row in range(size[0]):
        for column in range(size[1]):
            joined[..., row : row + rows, column : column + columns] += values
    return joined


def _pair(node: ir.Node, name: str) -> tuple[int, int]:
    rows, columns = node.attributes.get_ints(name, (1, 1))
    return rows, columns
