"""How large a model's tensors are, before any of them is made.

Shapes are inferred for one sample. What only a run tells is left to the child's own limit.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx

from graftscope.sandbox._limits import Limits
from graftscope.sandbox._reasons import Reason
from graftscope.sandbox.errors import ModelRefusedError

Shapes = Mapping[str, Sequence[int]]
"""Whole shapes of inputs, the batch among them, by name."""


def hold_inputs(model: onnx.ModelProto, shapes: Shapes) -> bool:
    """Enter inputs' shapes, of one sample where the batch is free; in place.

    Args:
        model: What is opened.
        shapes: What is known of its inputs beside what it says itself.

    Returns:
        Whether all of them are known.
    """
    known = True
    stored = {each.name for each in model.graph.initializer}
    for value in model.graph.input:
        if value.name in stored or not value.type.HasField("tensor_type"):
            known = known and value.name in stored
            continue
        tensor = value.type.tensor_type
        if value.name in shapes:
            tensor.ClearField("shape")
            for extent in shapes[value.name]:
                tensor.shape.dim.add(dim_value=extent)
        if tensor.HasField("shape") and tensor.shape.dim:
            batch = tensor.shape.dim[0]
            if not batch.HasField("dim_value"):
                batch.dim_value = 1
        whole = all(each.HasField("dim_value") for each in tensor.shape.dim)
        known = known and tensor.HasField("shape") and whole
    return known


def refuse_weights_elsewhere(model: onnx.ModelProto, files: Sequence[str] | None) -> set[str]:
    """Refuse weights outside the model's folder.

    Args:
        model: What is opened.
        files: The names that they may have, flat beside the model; None for any below it.

    Returns:
        The files that they lie in.

    Raises:
        ModelRefusedError: If some are.
    """
    places = set()
    for tensor in tensors(model):
        place = {each.key: each.value for each in tensor.external_data}.get("location")
        if tensor.data_location != onnx.TensorProto.EXTERNAL and place is None:
            continue
        if files is not None and place not in files:
            raise ModelRefusedError(
                f"weights of {tensor.name[:80]!r} lie in {str(place)[:80]!r}, which the manifest"
                " does not list",
                Reason.WEIGHTS,
            )
        if place is None or Path(place).is_absolute() or ".." in Path(place).parts:
            raise ModelRefusedError(
                f"weights of {tensor.name[:80]!r} lie outside of its folder", Reason.WEIGHTS
            )
        places.add(place)
    return places


def refuse_sizes(model: onnx.ModelProto, limits: Limits, weights_bytes: int) -> None:
    """Refuse a model of which a tensor of one sample would be too large.

    Args:
        model: What is opened, its inputs' shapes entered.
        limits: How large one may be.
        weights_bytes: Of the model's own weights.

    Raises:
        ModelRefusedError: If one is; it names it.
    """
    most = limits.tensor_bytes(weights_bytes)
    for name, size in _sizes(_inferred(model).graph):
        if size > most:
            raise limits.refuse(
                f"tensor {name[:80]!r} would take {size / 2**20:,.0f} MiB for one sample",
                "sandbox_tensor_mib",
            )


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except MemoryError:
        raise
    except Exception:
        return model  # what is wrong with it the full check says


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All tensors that a model stores, those inside its nodes too."""
    bodies = [model.graph.node, *(each.node for each in model.functions)]
    graphs = [model.graph]
    while graphs or bodies:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield sparse.values
                yield sparse.indices
            bodies.append(graph.node)
            continue
        for attribute in (each for node in bodies.pop() for each in node.attribute):
            yield from (attribute.t, *attribute.tensors)
            graphs.extend((attribute.g, *attribute.graphs))


def _sizes(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    for stored in graph.initializer:
        yield stored.name, _bytes(stored.data_type, stored.dims)
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, _bytes(sparse.values.data_type, sparse.dims)
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        extents = [dim.dim_value or 1 for dim in tensor.shape.dim]
        yield value.name, _bytes(tensor.elem_type, extents)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield node.name or node.op_type, _bytes(attribute.t.data_type, attribute.t.dims)
            for inner in (attribute.g, *attribute.graphs):
                yield from _sizes(inner)


def _bytes(kind: int, extents: Sequence[int]) -> int:
    wide = (onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64, onnx.TensorProto.UINT64)
    narrow = (onnx.TensorProto.BOOL, onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    width = 8 if kind in wide else 1 if kind in narrow else 4
    return width * math.prod(max(each, 0) for each in extents)
