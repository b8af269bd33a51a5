"""What an open graph takes of memory: its weights, and its tensors in a run of one sample.

It must not know sessions or what the graph is for.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, shape_inference

from graftscope.server.logs import get_logger

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
_IMAGES_RANK = 4

_log = get_logger("engine")


@dataclass(frozen=True)
class GraphMemory:
    """What an open graph takes.

    Attributes:
        weights_bytes: its constants.
        sample_bytes: the most that its tensors take at the same time, for each sample of a run.
        given_bytes: what it gives, likewise.
        has_batch: whether there may be any number of samples.
    """

    weights_bytes: int
    sample_bytes: int
    given_bytes: int
    has_batch: bool


def graph_memory(model: ModelProto) -> GraphMemory:
    """Adds up a graph's constants, and its tensors from where they are made to their last use.

    Args:
        model: whose constants may lie elsewhere; it is changed.
    """
    weights = sum(math.prod(x.dims) * _itemsize(x.data_type) for x in _constants(model))
    inputs = (value.type.tensor_type.shape.dim for value in model.graph.input)
    has_batch = any(not extent.HasField("dim_value") for extents in inputs for extent in extents)
    sizes = _tensor_bytes(model)
    given = sum(sizes.get(value.name, 0) for value in model.graph.output)
    return GraphMemory(weights, _peak_bytes(model, sizes), given, has_batch)


def _tensor_bytes(model: ModelProto) -> dict[str, int]:
    """The size of every tensor whose shape can be told where there is one sample."""
    graph = model.graph
    for value in graph.input:
        for extent in value.type.tensor_type.shape.dim:
            if not extent.HasField("dim_value"):
                extent.dim_value = 1
    declared = dict(_sizes([*graph.value_info, *graph.output]))
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        graph = shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception as error:
        # It is open and runs: only its size is not known.
        _log.debug("shapes unknown", error=str(error).splitlines()[0])
    # Behind a shape that is computed, what is declared is known: free extents are the sample.
    inferred = _sizes([*graph.input, *graph.value_info, *graph.output])
    return declared | {name: max(size, declared.get(name, 0)) for name, size in inferred}


def _constants(model: ModelProto) -> Iterable[TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        if _operation(node) == "Constant":
            yield from (x.t for x in node.attribute if x.name == "value")


def _peak_bytes(model: ModelProto, sizes: dict[str, int]) -> int:
    nodes = [node for node in model.graph.node if _operation(node) != "Constant"]
    last = {name: at for at, node in enumerate(nodes) for name in node.input}
    kept = {value.name for value in model.graph.output}
    computed = {name for node in nodes for name in node.output}
    live = peak = 0
    for at, node in enumerate(nodes):
        live += sum(sizes.get(name, 0) for name in node.output)
        peak = max(peak, live)
        ended = {name for name in node.input if last[name] == at and name not in kept}
        live -= sum(sizes.get(name, 0) for name in ended & computed)
    return peak


def _sizes(values: Iterable[ValueInfoProto]) -> Iterable[tuple[str, int]]:
    for value in values:
        tensor = value.type.tensor_type
        extents = [x.dim_value or 1 for x in tensor.shape.dim]
        if tensor.elem_type:
            yield value.name, math.prod(extents) * _itemsize(tensor.elem_type)


def convolved(model: ModelProto) -> list[tuple[int, int, int]]:
    """Channels, height and width of what convolutions give, as far as the graph declares them."""
    graph = model.graph
    declared = {x.name: x.type.tensor_type.shape.dim for x in (*graph.value_info, *graph.output)}
    given = (declared.get(x.output[0], ()) for x in graph.node if _operation(x) in _CONVOLUTIONS)
    shapes = ([dim.dim_value for dim in dims] for dims in given if len(dims) == _IMAGES_RANK)
    return [(channels, height, width) for _, channels, height, width in shapes]


def _operation(node: NodeProto) -> str:
    """A type alone says nothing: ONNX Runtime's own domains have a `Conv` too."""
    return f"{node.domain}::{node.op_type}" if node.domain else node.op_type


def _itemsize(kind: int) -> int:
    try:
        return int(helper.tensor_dtype_to_np_dtype(kind).itemsize)
    except (KeyError, TypeError):
        return helper.tensor_dtype_to_np_dtype(TensorProto.FLOAT).itemsize


def read_graph(source: bytes | Path) -> ModelProto:
    """A graph without what lies in other files.

    Args:
        source: the graph itself, or its file.
    """
    if isinstance(source, bytes):
        return onnx.load_model_from_string(source)
    return onnx.load(source, load_external_data=False)
