"""Build an intervention at any layers of a generator into its graph (Definitions 2 and 5).

Rules
1. The graph is cut through those edited tensors that no other edit reaches; what lies above is
   the same with and without the intervention. Further edits are made inside the lower half, on
   what the edits above them gave.
2. An edit selects: where its place is false, the tensor keeps its very bits.
3. Several edits of one tensor all read what it was before any of them.

Values, places and factors are inputs, so that one graph serves every intervention of its form.
Letters: B pairs, C channels, N tokens, (c, H, W) the image, (h, w) the map. It must not know
sessions, donors or where values come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._cut import cut_through, editable_tensor
from graftscope.graph._splice import give_hybrids, replace_uses
from graftscope.graph._tensors import affected_by, name_of, tensors_of
from graftscope.graph._values import typed_input
from graftscope.graph.errors import GraphError


class Assignment(Enum):
    """What a tensor x becomes where a slot's place is true."""

    REPLACE = "replace"
    """value"""
    AFFINE = "affine"
    """factor * x + value"""


@dataclass(frozen=True)
class Slot:
    """A place in the graph at which something is assigned.

    Attributes:
        tensor: The edited tensor's name, such as `Layer.tensor`.
        assignment: What it becomes.
    """

    tensor: str
    assignment: Assignment


@dataclass(frozen=True)
class Intervened:
    """A generator in two halves, the lower one with the edits inside.

    Attributes:
        upstream: Those of the graph's inputs that it needs -> the recorded tensors, then the
            carried ones, without graph inputs; None where only graph inputs cross.
        downstream: The recorded and the carried tensors, then for every slot i `where_name(i)`
            BOOL, `value_name(i)` FLOAT and, for an affine one, `factor_name(i)` FLOAT, each of
            the tensor's rank and broadcast against it -> `HYBRIDS` (B, c, H, W).
        recorded: Names of the edited tensors that cross the cut, in the graph's order.
        carried: Names of what crosses beside them, graph inputs first.
    """

    upstream: ir.Model | None
    downstream: ir.Model
    recorded: tuple[str, ...]
    carried: tuple[str, ...]


def where_name(slot: int) -> str:
    """Return the name of the input that says where a slot assigns."""
    return f"graftscope.where.{slot}"


def value_name(slot: int) -> str:
    """Return the name of the input that holds a slot's value or summand."""
    return f"graftscope.value.{slot}"


def factor_name(slot: int) -> str:
    """Return the name of the input that holds an affine slot's factor."""
    return f"graftscope.factor.{slot}"


def intervene(model: ir.Model, slots: Sequence[Slot]) -> Intervened:
    """Build slots for an intervention into a generator.

    Args:
        model: The generator, in plain form; its graph stays as it is, but for shapes that were
            missing.
        slots: At least one. Those of one tensor are applied in their order.

    Returns:
        The halves.

    Raises:
        GraphError: If there is no slot.
        UnknownTensorError: If the graph has no such tensor.
        CutError: If a tensor cannot be edited, or one stands in the way.
        RandomGraphError: If the graph draws random numbers by itself.
    """
    if not slots:
        raise GraphError("an intervention needs at least one slot")
    edited = [editable_tensor(model, name) for name in dict.fromkeys(s.tensor for s in slots)]
    first = _first_reached(model.graph, edited)
    halves = cut_through(model, first)
    _assign_all(halves.downstream, slots)
    return Intervened(
        halves.upstream,
        halves.downstream,
        recorded=tuple(name_of(value) for value in first),
        carried=halves.carried,
    )


def _first_reached(graph: ir.Graph, edited: Sequence[ir.Value]) -> list[ir.Value]:
    """Return the edited tensors that are computed from no other, in the graph's order."""
    behind = {
        value
        for other in edited
        for value in affected_by(graph, [other]) - {other}
        if value in edited
    }
    return [value for value in tensors_of(graph) if value in edited and value not in behind]


def _assign_all(downstream: ir.Model, slots: Sequence[Slot]) -> None:
    graph = downstream.graph
    tape = Tape(graph)
    tensors = {name_of(value): value for value in tensors_of(graph)}
    for name in dict.fromkeys(slot.tensor for slot in slots):
        before = after = tensors[name]
        for index in (i for i, slot in enumerate(slots) if slot.tensor == name):
            after = _assign(tape, slots[index].assignment, index, before, after)
        replace_uses(graph, before, after)
    give_hybrids(tape, graph)


def _assign(
    tape: Tape, assignment: Assignment, index: int, before: ir.Value, after: ir.Value
) -> ir.Value:
    """Return the tensor with one more slot assigned; `before` is what the slot reads."""
    rank = len(before.shape or ())
    where = _slot_input(tape, where_name(index), ir.DataType.BOOL, rank)
    assigned = _slot_input(tape, value_name(index), ir.DataType.FLOAT, rank)
    if assignment is Assignment.AFFINE:
        factor = _slot_input(tape, factor_name(index), ir.DataType.FLOAT, rank)
        assigned = tape.op("Add", [tape.op("Mul", [factor, before]), assigned])
    edited = tape.op("Where", [where, assigned, after])
    edited.shape, edited.type = before.shape, before.type
    return edited


def _slot_input(tape: Tape, name: str, dtype: ir.DataType, rank: int) -> ir.Value:
    value = typed_input(name, dtype, [f"{name}.{axis}" for axis in range(rank)])
    graph = tape.graph_like
    assert isinstance(graph, ir.Graph)
    graph.inputs.append(value)
    return value
