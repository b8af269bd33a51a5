"""An encoder in a bundle's form: the generator's images to the posterior's parameters.

Rules
1. Images come as the generator gives them, (B, C, H, W) FLOAT in its own range; what the encoder
   expects instead is done to them inside the graph: another range, another arrangement (channels
   last, or all pixels in one row), another type.
2. The mean is the first output, and the log-variance, where there is one, the second. Both are
   FLOAT and have the shape of the input that they infer.
3. Where one tensor holds both, its halves along an axis are the mean and the log-variance.
4. The batch is made free as a generator's is (`free_batch`).

It must not know how anybody found out which output is which.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph._fitness import refuse_unfit
from graftscope.graph._free_batch import free_batch
from graftscope.graph._randomness import inputs_for_randomness
from graftscope.graph._shapes import infer_missing_shapes
from graftscope.graph._tensors import tensor_named
from graftscope.graph._values import free_name, initializer, typed_input
from graftscope.graph.errors import RandomGraphError

_BATCH: Final = "batch"
_CHANNELS_LAST: Final = (0, 2, 3, 1)


class Arrangement(Enum):
    """How the axes of images are arranged."""

    CHANNELS_FIRST = "(B, C, H, W)"
    CHANNELS_LAST = "(B, H, W, C)"
    FLAT = "(B, C * H * W)"


@dataclass(frozen=True)
class EncoderForm:
    """How an encoder takes images, and where the posterior's parameters are.

    Attributes:
        image: (C, H, W) of the generator's images.
        latent: Extents behind the batch of the input that is inferred.
        mean: The name of the mean's output.
        log_variance: That of the log-variance; None where there is none, or `halves` is given.
        halves: The axis along which `mean` holds the mean and then the log-variance; else None.
        scale: What images are multiplied by before the encoder takes them.
        shift: What is added to them then.
        arrangement: Of the axes that it takes.
    """

    image: tuple[int, int, int]
    latent: tuple[int, ...]
    mean: str
    log_variance: str | None = None
    halves: int | None = None
    scale: float = 1.0
    shift: float = 0.0
    arrangement: Arrangement = Arrangement.CHANNELS_FIRST

    @property
    def parameters(self) -> int:
        """How many are given: 1, the mean, or 2."""
        return 1 if self.log_variance is None and self.halves is None else 2


def to_encoder_form(model: ir.Model, form: EncoderForm) -> None:
    """Bring an encoder into that form.

    Args:
        model: A graph in plain form with one input; changed in place.
        form: How it takes images and what it gives.

    Raises:
        RandomGraphError: If what it gives depends on random numbers that it draws.
        GraphError: If it is otherwise unfit, or its batch cannot be made free.
    """
    graph = model.graph
    parts = _parts(graph, form)
    graph.outputs[:] = [_joined(graph, parts, prod(form.latent))]
    ir.passes.common.RemoveUnusedNodesPass()(model)
    infer_missing_shapes(model)
    refuse_unfit(model)
    if drawn := inputs_for_randomness(model):
        raise RandomGraphError(
            f"what is encoded depends on random numbers that the encoder draws ({len(drawn)} nodes "
            "do); take the posterior's mean instead of a sample of it"
        )
    free_batch(model)
    _take_images(graph, form)
    _give_parameters(graph, form)
    infer_missing_shapes(model)


def _parts(graph: ir.Graph, form: EncoderForm) -> list[ir.Value]:
    """Return the mean, and the log-variance where there is one, as the encoder shapes them."""
    mean = _in_floats(graph, tensor_named(graph, form.mean))
    if form.halves is not None:
        halves = ir.node("Split", [mean], {"axis": form.halves, "num_outputs": 2}, num_outputs=2)
        return list(_appended(graph, halves, "half"))
    if form.log_variance is None:
        return [mean]
    return [mean, _in_floats(graph, tensor_named(graph, form.log_variance))]


def _in_floats(graph: ir.Graph, value: ir.Value) -> ir.Value:
    if value.dtype in (None, ir.DataType.FLOAT):
        return value
    cast = ir.node("Cast", [value], {"to": int(ir.DataType.FLOAT)})
    return _appended(graph, cast, "float")[0]


def _joined(graph: ir.Graph, parts: Sequence[ir.Value], size: int) -> ir.Value:
    """Lay the parameters of a sample out in one row, so that there is one output: (B, n Z)."""
    rows = [
        _appended(graph, ir.node("Reshape", [part, _ints(graph, [-1, size])]), "row")[0]
        for part in parts
    ]
    row = _appended(graph, ir.node("Concat", rows, {"axis": 1}), "posterior")[0]
    row.type, row.shape = ir.TensorType(ir.DataType.FLOAT), None
    return row


def _take_images(graph: ir.Graph, form: EncoderForm) -> None:
    """Put what the encoder expects of images between them and its own input."""
    (own,) = graph.inputs
    first = next(iter(graph))
    image = typed_input(free_name(graph, "image"), ir.DataType.FLOAT, [_BATCH, *form.image])
    value = image
    for node in _steps(graph, form, own.dtype or ir.DataType.FLOAT):
        node.replace_input_with(0, value)
        graph.insert_before(first, node)
        value = node.outputs[0]
        value.name = node.name = free_name(graph, f"image_{node.op_type.lower()}")
    own.replace_all_uses_with(value)
    graph.inputs[:] = [image]


def _steps(graph: ir.Graph, form: EncoderForm, dtype: ir.DataType) -> list[ir.Node]:
    """Return the nodes that change images, each of which waits for its first input."""
    steps = []
    if form.scale != 1.0:
        steps.append(ir.node("Mul", [None, _number(graph, form.scale)]))
    if form.shift != 0.0:
        steps.append(ir.node("Add", [None, _number(graph, form.shift)]))
    if form.arrangement is Arrangement.CHANNELS_LAST:
        steps.append(ir.node("Transpose", [None], {"perm": _CHANNELS_LAST}))
    elif form.arrangement is Arrangement.FLAT:
        steps.append(ir.node("Reshape", [None, _ints(graph, [-1, prod(form.image)])]))
    if not dtype.is_floating_point():
        steps.append(ir.node("Round", [None]))
        steps.append(ir.node("Clip", [None, _number(graph, 0.0), _number(graph, 255.0)]))
    if dtype != ir.DataType.FLOAT:
        steps.append(ir.node("Cast", [None], {"to": int(dtype)}))
    return steps


def _give_parameters(graph: ir.Graph, form: EncoderForm) -> None:
    (row,) = graph.outputs
    size, names = prod(form.latent), ("mean", "log_variance")[: form.parameters]
    given = []
    for at, name in enumerate(names):
        bounds = [_ints(graph, [edge]) for edge in (at * size, (at + 1) * size, 1)]
        (part,) = _appended(graph, ir.node("Slice", [row, *bounds]), f"{name}_row")
        (value,) = _appended(
            graph, ir.node("Reshape", [part, _ints(graph, [-1, *form.latent])]), name
        )
        value.type = ir.TensorType(ir.DataType.FLOAT)
        value.shape = ir.Shape([_BATCH, *form.latent])
        given.append(value)
    graph.outputs[:] = given


def _appended(graph: ir.Graph, node: ir.Node, name: str) -> Sequence[ir.Value]:
    """Put a node at the end; its outputs are named so, or numbered where that is taken."""
    graph.append(node)
    for value in node.outputs:
        value.name = free_name(graph, name)
    node.name = node.outputs[0].name
    return node.outputs


def _ints(graph: ir.Graph, numbers: Sequence[int]) -> ir.Value:
    return _constant(graph, np.array(numbers, dtype=np.int64))


def _number(graph: ir.Graph, number: float) -> ir.Value:
    return _constant(graph, np.array(number, dtype=np.float32))


def _constant(graph: ir.Graph, array: NDArray[np.generic]) -> ir.Value:
    return initializer(graph, free_name(graph, "encoder_constant"), array)
