"""What all rewrites need to take a graph apart and put other nodes in.

Weights that a rewrite makes are constants inside the graph; the bundle's file stays as it is. It
must not know which rewrites there are.
"""

from collections.abc import Container, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnx_ir.tape import Tape

from graftscope.graph._operations import operation
from graftscope.graph._values import ints
from graftscope.graph.errors import GraphError

_BODIES = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)

# Elementwise operations of one input: where they come does not matter to a change of layout.
UNARY = frozenset(
    {
        "Abs",
        "Cast",
        "Clip",
        "Elu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Neg",
        "Relu",
        "Selu",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Tanh",
        "ThresholdedRelu",
    }
)


def weights(value: ir.Value | None) -> NDArray[np.float32] | None:
    """A constant's elements; None where the value is computed or absent."""
    if value is None:
        return None
    if value.const_value is not None:
        return np.asarray(value.const_value.numpy())
    node = value.producer()
    if node is None or operation(node) != "Constant" or "value" not in node.attributes:
        return None
    return np.asarray(node.attributes["value"].as_tensor().numpy())


def extents(value: ir.Value | None, rank: int) -> tuple[int, ...] | None:
    """All extents but the first, where the value has that rank and they are fixed."""
    if value is None or value.shape is None or len(value.shape) != rank:
        return None
    fixed = tuple(extent for extent in value.shape[1:] if isinstance(extent, int))
    return fixed if len(fixed) == rank - 1 else None


def image_extents(value: ir.Value | None) -> tuple[int, int, int]:
    """Channels, height and width of images (N, C, h, w), whose extents are known."""
    known = extents(value, 4)
    assert known is not None
    channels, height, width = known
    return channels, height, width


def floats(tape: Tape, array: NDArray[np.floating]) -> ir.Value:
    """A float32 constant in a node of its own, so that no name can clash."""
    return tape.op("Constant", [], {"value": ir.tensor(np.ascontiguousarray(array, np.float32))})


def reshape(tape: Tape, value: ir.Value, shape: Sequence[int]) -> ir.Value:
    """The same elements in another shape; -1 for one extent."""
    return tape.op("Reshape", [value, ints(tape, shape)])


def transpose(tape: Tape, value: ir.Value, order: Sequence[int]) -> ir.Value:
    """The axes in another order."""
    return tape.op("Transpose", [value], {"perm": list(order)})


def sized(value: ir.Value, *inner: int) -> ir.Value:
    """The value, said to be float32 of (N, *inner)."""
    value.shape, value.type = ir.Shape([None, *inner]), ir.TensorType(ir.DataType.FLOAT)
    return value


def unary(tape: Tape, node: ir.Node, value: ir.Value) -> ir.Value:
    """An elementwise operation on another value."""
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    result = tape.op(node.op_type, [value, *node.inputs[1:]], attributes)
    result.shape, result.type = value.shape, node.outputs[0].type
    return result


def unaries_behind(value: ir.Value) -> list[ir.Node]:
    """The elementwise operations that are all that is done with a value, in order."""
    found: list[ir.Node] = []
    while is_unary(node := only_use(value)):
        assert node is not None
        found.append(node)
        value = node.outputs[0]
    return found


def repeat_unaries(tape: Tape, replaced: ir.Value, value: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Does with `value` what the elementwise operations behind `replaced` do with it.

    Returns:
        What they give, and the value of the graph that it takes the place of.
    """
    for behind in unaries_behind(replaced):
        value, replaced = unary(tape, behind, value), behind.outputs[0]
    return value, replaced


def ancestors(value: ir.Value, known: Container[ir.Value]) -> list[ir.Node]:
    """The nodes that make a value out of known ones, inputs and constants, in order."""
    found: dict[ir.Node, None] = {}
    waiting = [(value, False)]
    while waiting:
        at, is_ready = waiting.pop()
        node = None if at in known or weights(at) is not None else at.producer()
        if node is None or node in found:
            continue
        if is_ready:
            found[node] = None
            continue
        waiting.append((at, True))
        waiting += [(x, False) for x in node.inputs if x is not None]
    return list(found)


def copied_all(
    tape: Tape, node: ir.Node, instead: Mapping[ir.Value, ir.Value]
) -> dict[ir.Value, ir.Value]:
    """The operation once more, on what stands for its inputs: its outputs -> those of the copy.

    Raises:
        GraphError: the node has a graph inside, which cannot stand in two places.
    """
    if any(x.type in _BODIES for x in node.attributes.values()):
        raise GraphError(f"{node.op_type} has a graph inside; it is not rewritten")
    inputs = [instead.get(x, x) if x is not None else None for x in node.inputs]
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    copies = tape.op_multi_out(
        node.op_type, inputs, attributes, num_outputs=len(node.outputs), domain=node.domain
    )
    for own, copy in zip(node.outputs, copies, strict=True):
        copy.shape, copy.type = own.shape, own.type
    return dict(zip(node.outputs, copies, strict=True))


def only_use(value: ir.Value) -> ir.Node | None:
    """The node that reads the value, where just one does, once, and it is no output."""
    uses = tuple(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def is_unary(node: ir.Node | None) -> bool:
    """Whether a node works on each element by itself: what else it reads are constants."""
    return (
        node is not None
        and operation(node) in UNARY
        and len(node.outputs) == 1
        and all(weights(x) is not None for x in node.inputs[1:] if x is not None)
    )


def replace(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Lets whatever reads `old` read `new`; an output keeps its name."""
    for use in tuple(old.uses()):
        use.node.replace_input_with(use.idx, new)
    if old.is_graph_output():
        new.name, old.name = old.name, None
        new.shape, new.type = old.shape, old.type
        graph.outputs[:] = [new if output is old else output for output in graph.outputs]


def clean(model: ir.Model) -> None:
    """Removes what nothing reads, and sorts the nodes; in place."""
    model.graph.sort()
    RemoveUnusedNodesPass()(model)
