"""Splicing sample by sample: every image says which samples it is made of (Definition 5).

Letters: S samples, N images, C channels of the layer, (c, H, W) the image. One run gives originals
and hybrids of many pairs, each with a set E of its own. It must not know sessions or pairs.
"""

import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._splice import HYBRIDS, SETS, replace_uses
from graftscope.graph._walk import name_of
from graftscope.graph.errors import UnknownTensorError

# Names of the inputs that are added; the dot keeps them apart from a model's own names.
SAMPLES = "graftscope.samples"
FIRST = "graftscope.first"
DONORS = "graftscope.donors"


def splice_samples(downstream: ir.Model, *, activation: str, channel_axis: int = 1) -> ir.Model:
    """Puts a choice of samples, and a swap of channels between them, before a downstream half.

    The model is changed in place and returned. Its activation input is replaced by four: `SAMPLES`
    (S, C, ...); `FIRST` (N,) and `DONORS` (N,) INT64, which of the samples an image is made of;
    and `SETS` (N, C), boolean, the channels that the donor gives. Carried tensors (S, ...) stay;
    an image takes those of its first sample. Its output becomes `HYBRIDS` (N, c, H, W). Values are
    selected, never computed from both.

    Args:
        downstream: A graph whose inputs are the activation and the carried tensors.
        activation: The activation's name.
        channel_axis: The activation's axis of channels: 1 for maps and vectors, 2 for tokens.

    Raises:
        UnknownTensorError: The graph has no such input.
    """
    graph = downstream.graph
    tape = Tape(graph)
    edited = _input_of(graph, activation)
    carried = [value for value in graph.inputs if value is not edited]
    samples = ir.Value(name=SAMPLES, type=edited.type, shape=edited.shape)
    first, donors = (_indices(name) for name in (FIRST, DONORS))
    sets = ir.Value(
        name=SETS, type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape(["images", "channels"])
    )

    kept = tape.op("Gather", [samples, first], {"axis": 0})  # (N, C, h, w)
    given = tape.op("Gather", [samples, donors], {"axis": 0})
    rank = len(edited.shape or ())
    others = [axis for axis in range(1, rank) if axis != channel_axis]
    chosen = tape.op("Unsqueeze", [sets, _constant(tape, others)]) if others else sets
    spliced = tape.op("Where", [chosen, given, kept])
    spliced.type, spliced.shape = edited.type, edited.shape
    replace_uses(graph, edited, spliced)
    for value in filter(_has_samples, carried):
        replace_uses(graph, value, tape.op("Gather", [value, first], {"axis": 0}))

    graph.inputs[:] = [samples, first, donors, sets, *carried]
    graph.outputs[0] = tape.op("Identity", [graph.outputs[0]], output=ir.Value(name=HYBRIDS))
    graph.outputs[0].dtype = ir.DataType.FLOAT
    graph.sort()
    return downstream


def _input_of(graph: ir.Graph, name: str) -> ir.Value:
    for value in graph.inputs:
        if value.name == name:
            return value
    known = ", ".join(map(name_of, graph.inputs))
    raise UnknownTensorError(f"the graph has no input {name!r}; it has: {known}")


def _indices(name: str) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["images"]))


def _constant(tape: Tape, values: list[int]) -> ir.Value:
    """In a node of its own, so that no name can clash."""
    return tape.op("Constant", [], {"value": ir.tensor(values, dtype=ir.DataType.INT64)})


def _has_samples(value: ir.Value) -> bool:
    """Whether a carried tensor has one entry a sample: its first axis is free."""
    return bool(value.shape) and not isinstance(value.shape[0], int)  # type: ignore[index]
