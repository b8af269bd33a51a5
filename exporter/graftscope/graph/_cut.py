"""Cut a generator at an activation into an upstream and a downstream half.

Rules
1. A cut is a set of tensors: the activation, and the carried tensors that cross beside it (a
   skip connection, a latent that a later block reads).
2. The downstream half computes again what depends on the activation, on constants, or on the
   batch's extent alone; every other tensor that it reads is carried.
3. A tensor keeps its name in both halves. A graph input that crosses is an input of both; the
   upstream half does not repeat it among its outputs.
4. Each sample of a batch is on its own, so what crosses has the batch as its first axis.
5. A half holds only what it needs, in the order of the whole graph.
6. An input of the graph is a point too (Definition 3): nothing lies above it, and the whole graph
   below.
7. A cut may go through several activations of which none is computed from another; what is said
   of the activation then holds for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graftscope.graph._fitness import CHOICES
from graftscope.graph._foreign import foreign_operations, foreign_tensors
from graftscope.graph._halves import half_above, lower_half, what_is_below
from graftscope.graph._operations import operation
from graftscope.graph._randomness import RANDOM
from graftscope.graph._shapes import has_batch_axis, infer_missing_shapes, is_tensor
from graftscope.graph._tensors import (
    constants_of,
    image_of,
    name_of,
    needed_for,
    tensor_named,
)
from graftscope.graph.errors import CutError, RandomGraphError

_DRAWS = CHOICES | RANDOM


@dataclass(frozen=True)
class Cut:
    """A generator in two halves.

    Attributes:
        upstream: Those of the graph's inputs that it needs -> the activation, then the carried
            tensors that are no graph inputs; None where only graph inputs cross.
        downstream: The activation, then the carried tensors -> the image.
        activation: The activation's name.
        carried: Names of the carried tensors, graph inputs first, in the graph's order.
    """

    upstream: ir.Model | None
    downstream: ir.Model
    activation: str
    carried: tuple[str, ...]


def cut(model: ir.Model, activation: str) -> Cut:
    """Cut a generator at an activation; downstream after upstream is the generator again.

    Args:
        model: The generator; its graph stays as it is, but for shapes that were missing. The
            halves share its initializers' data.
        activation: Name of the tensor to cut at, such as `Layer.tensor`.

    Returns:
        The two halves.

    Raises:
        UnknownTensorError: If the graph has no such tensor.
        CutError: If nothing could be edited there, or a tensor stands in the way.
        RandomGraphError: If the graph draws random numbers by itself.
    """
    value = editable_tensor(model, activation)
    halves = cut_through(model, [value])
    return Cut(halves.upstream, halves.downstream, activation, halves.carried)


def editable_tensor(model: ir.Model, name: str) -> ir.Value:
    """Return the tensor of that name, if a change of it can reach the image.

    Args:
        model: The generator; shapes that are missing are inferred and kept.
        name: The tensor's.

    Raises:
        UnknownTensorError: If the graph has no such tensor.
        CutError: If nothing could be edited there.
        RandomGraphError: If the graph draws random numbers by itself.
    """
    _refuse_randomness(model.graph)
    infer_missing_shapes(model)
    value = tensor_named(model.graph, name)
    _refuse_unless_inside(model.graph, value)
    return value


@dataclass(frozen=True)
class Halves:
    """As `Cut`, but through any number of activations."""

    upstream: ir.Model | None
    downstream: ir.Model
    carried: tuple[str, ...]


def cut_through(model: ir.Model, activations: Sequence[ir.Value]) -> Halves:
    """Cut at several activations at once.

    Args:
        model: The generator.
        activations: From `editable_tensor`; none is computed from another.

    Raises:
        CutError: If a tensor stands in the way.
    """
    graph = model.graph
    below = what_is_below(graph, activations)
    _refuse_without_batch_axis(activations, below.carried)
    crossing = [each for each in (*activations, *below.carried) if each not in graph.inputs]
    return Halves(
        upstream=half_above(model, crossing) if crossing else None,
        downstream=lower_half(model, activations, below),
        carried=tuple(name_of(each) for each in below.carried),
    )


def _refuse_randomness(graph: ir.Graph) -> None:
    for node in ir.traversal.RecursiveGraphIterator(graph):
        if operation(node) in _DRAWS:
            raise RandomGraphError(
                f"node {node.name!r} ({operation(node)}) draws random numbers inside the graph; "
                "they must come from an input, so that an original and its hybrid share them"
            )


def _refuse_unless_inside(graph: ir.Graph, value: ir.Value) -> None:
    image = image_of(graph)
    if value is image:
        reason = "is the image itself"
    elif value in constants_of(graph):
        reason = "is the same for every latent"
    elif value not in needed_for([image]):
        reason = f"does not reach the image {name_of(image)!r}"
    elif value in foreign_tensors(graph):
        reason = f"is made or read by {foreign_operations(graph)}"
    else:
        return
    raise CutError(f"tensor {name_of(value)!r} cannot be cut at: it {reason}")


def _refuse_without_batch_axis(
    activations: Sequence[ir.Value], carried: Sequence[ir.Value]
) -> None:
    in_the_way = [value for value in [*activations, *carried] if not has_batch_axis(value)]
    if in_the_way:
        tensors = ", ".join(f"{name_of(value)!r} {_form(value)}" for value in in_the_way)
        raise CutError(
            f"the graph cannot be cut at {_names(activations)}: these tensors would cross the "
            f"cut, and their first axis is not the batch: {tensors}"
        )


def _form(value: ir.Value) -> str:
    return str(value.shape) if is_tensor(value) else "(a sequence)"


def _names(values: Sequence[ir.Value]) -> str:
    return ", ".join(repr(name_of(value)) for value in values)
