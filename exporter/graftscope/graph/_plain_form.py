"""Bring a graph into the plain form that the other modules expect, and take its metadata off."""

import onnx_ir as ir
from onnx_ir.passes import common

from graftscope.graph._shapes import infer_missing_shapes
from graftscope.graph._tensors import tensors_of


def normalise(model: ir.Model) -> ir.Model:
    """Bring a model read from elsewhere into plain form; what it computes stays the same.

    Functions are inlined, constants become initializers, initializers are no inputs, nothing is
    unused, and missing shapes are inferred.

    Args:
        model: The model; changed in place where that is possible.

    Returns:
        The model in plain form.
    """
    steps = ir.passes.Sequential(
        common.InlinePass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.RemoveInitializersFromInputsPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        common.TopologicalSortPass(),
    )
    plain = steps(model).model
    infer_missing_shapes(plain)
    return plain


def strip_metadata(model: ir.Model) -> None:
    """Remove all that says where a model comes from, and every order that chance decided.

    PyTorch's exporter writes source paths and stack traces into the metadata; names of layers
    come from there too, so find them first. Two exports of one model then are the same bytes.

    Args:
        model: The model; changed in place.
    """
    model.metadata_props.clear()
    model.doc_string = None
    model.producer_name, model.producer_version = "graftscope", None
    for graph in model.graphs():
        _strip_graph(graph)


def _strip_graph(graph: ir.Graph) -> None:
    graph.metadata_props.clear()
    graph.doc_string = None
    for value in tensors_of(graph):
        value.metadata_props.clear()
        value.doc_string = None
    for node in graph:
        node.metadata_props.clear()
        node.doc_string = None
        _sort_attributes(node)
    _sort_initializers(graph)


def _sort_attributes(node: ir.Node) -> None:
    attributes = sorted(node.attributes.values(), key=lambda attribute: attribute.name)
    node.attributes.clear()
    for attribute in attributes:
        node.attributes.add(attribute)


def _sort_initializers(graph: ir.Graph) -> None:
    initializers = sorted(graph.initializers.items())
    graph.initializers.clear()
    for _, value in initializers:
        _strip_tensor(value)
        graph.initializers.add(value)


def _strip_tensor(value: ir.Value) -> None:
    tensor = value.const_value
    if tensor is not None and (tensor.doc_string or tensor.metadata_props):
        value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=value.name)
