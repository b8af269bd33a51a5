"""New values for a graph: inputs of a type, constants, and names that nothing else has."""

from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from graftscope.graph._tensors import name_of, tensors_of


def typed_input(
    name: str, dtype: ir.DataType, shape: Sequence[ir.SymbolicDim | str | int | None]
) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))


def like(value: ir.Value, name: str) -> ir.Value:
    return ir.Value(name=name, type=value.type, shape=value.shape)


def ints(tape: Tape, values: Sequence[int]) -> ir.Value:
    """An int64 constant in a node of its own, so that no name can clash."""
    return tape.op("Constant", [], {"value": ir.tensor(np.array(values, dtype=np.int64))})


def initializer(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """A constant of the graph, under that name, numbered where it is not free."""
    name = free_name(graph, name)
    value = ir.val(name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value


def insert(graph: ir.Graph, before: ir.Node, node: ir.Node, name: str) -> ir.Value:
    """Puts a node before another, both the node and its output named so; returns the output.

    The name is numbered where it is not free.
    """
    name = free_name(graph, name)
    graph.insert_before(before, node)
    node.name = node.outputs[0].name = name
    return node.outputs[0]


def free_name(graph: ir.Graph, name: str) -> str:
    """The name, numbered where a tensor or a node has it already, be it inside of a branch."""
    taken = {name_of(value) for value in tensors_of(graph)}
    taken.update(each.name or "" for each in graph)
    for inner in graph.subgraphs():
        taken.update(name_of(value) for value in tensors_of(inner))
        taken.update(each.name or "" for each in inner)
    return _numbered(name, taken) if name in taken else name


def _numbered(name: str, taken: Collection[str]) -> str:
    candidates = (f"{name}_{i}" for i in range(2, len(taken) + 3))
    return next(each for each in candidates if each not in taken)


def name_ends(graph: ir.Graph, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Names a graph's inputs and outputs; what else is called so makes way.

    Args:
        graph: A graph; changed in place. No tensor in it is named as two.
        inputs: A name for each of its inputs; they keep it.
        outputs: A name for each of its outputs; one that an input has is numbered.
    """
    ends = [*graph.inputs, *graph.outputs]
    taken = {name_of(value) for value in tensors_of(graph)} | {*inputs, *outputs}
    for value in list(tensors_of(graph)):
        if value not in ends and value.name in (*inputs, *outputs):
            value.name = _numbered(name_of(value), taken)
            taken.add(name_of(value))
    for value, name in zip(graph.inputs, inputs, strict=True):
        value.name = name
    for value, name in zip(graph.outputs, outputs, strict=True):
        value.name = _numbered(name, taken) if name in inputs else name
