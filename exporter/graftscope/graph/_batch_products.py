"""Where the batch lies behind a product of matrices: it must be neither summed over nor multiplied.

Every function takes a node and the batch's axis of the tensors above it, returns the batch's axis
in what the node computes, and raises FixedBatchError where the node is in the way.
"""

import onnx_ir as ir

from graftscope.graph._batch_shared import Axes, aligned_axis, extents_of, in_the_way


def gemm(node: ir.Node, axes: Axes) -> int:
    data, weights, *bias = node.inputs
    flipped = node.attributes.get_int("transA", 0)
    if data is None or data not in axes or weights in axes or axes[data] != flipped:
        raise in_the_way(node, "it sums over the batch, or its weights depend on the sample")
    for value in (each for each in bias if each is not None):
        extents = extents_of(value, node)
        if value in axes or (len(extents) == 2 and extents[0] != 1):
            raise in_the_way(node, "its bias is not the same for every sample")
    return 0


def matmul(node: ir.Node, axes: Axes) -> int:
    first, second = node.inputs
    assert first is not None
    assert second is not None
    for value, summed in ((first, -1), (second, -2)):
        rank = len(extents_of(value, node))
        if value in axes and (rank == 1 or axes[value] == rank + summed):
            raise in_the_way(node, "it sums over the batch")
    inner = len(extents_of(node.outputs[0], node)) - 2
    batched = [value for value in (first, second) if value in axes]
    found = {aligned_axis(value, axes[value], node) for value in batched}
    if len(found) != 1 or (len(batched) == 2 and max(found) >= inner):
        raise in_the_way(node, "it multiplies samples with each other")
    (axis,) = found
    for value in (first, second):
        extents = extents_of(value, node)
        at = axis - (inner + 2) + len(extents)
        same = value not in axes and axis < inner
        if at >= 0 and same and extents[at] != 1:
            raise in_the_way(node, f"its tensor {value.name!r} has {extents[at]} values there")
    return axis


def einsum(node: ir.Node, axes: Axes) -> int:
    equation = (node.attributes.get_string("equation", "") or "").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    if not arrow or "." in equation:
        raise in_the_way(node, f"its equation {equation!r} leaves axes open")
    given = list(zip(terms.split(","), node.inputs, strict=True))
    letters = {term[axes[value]] for term, value in given if value is not None and value in axes}
    for term, value in given:
        shares = value is not None and value not in axes and not letters.isdisjoint(term)
        if shares or len(letters) != 1 or not letters <= set(result):
            raise in_the_way(node, f"its equation {equation!r} sums over the batch")
    return result.index(letters.pop())
