"""Resizing of operation sets before 11 keeps its meaning where a graph is converted to a newer one.

Upsample and the Resize of operation set 10 place pixel i of n at i times the scale, and take the
pixel before it where they interpolate nothing. A newer Resize does so too, if it is told; the
converter tells it only the mode. Where that Resize makes a map smaller it takes the pixel behind.
"""

from collections.abc import Sequence
from typing import Final

import onnx_ir as ir

from graftscope.exporter.errors import SourceError
from graftscope.graph import operation

_NEWER: Final = 11
"""The operation set in which a Resize says where pixels lie."""

Rounding = Sequence[str]
"""How positions are rounded to pixels; one for each node that resizes, in the graph's order."""


def old_resizing(model: ir.Model, opset: int) -> Rounding:
    """Return what a graph resizes in the old way.

    Args:
        model: A graph in plain form.
        opset: Its operation set.

    Raises:
        SourceError: If a map becomes larger along one axis and smaller along another, and takes
            the nearest pixels: no newer Resize does that.
    """
    if opset >= _NEWER:
        return ()
    return tuple(_rounding(node) for node in _resizing(model))


def keep_resizing(model: ir.Model, rounding: Rounding) -> None:
    """Tell the converted nodes what the old ones did.

    Args:
        model: The converted graph; changed in place.
        rounding: From `old_resizing`, of the graph before.
    """
    # The converter names outputs anew, but keeps the order of nodes.
    for node, nearest in zip(_resizing(model) if rounding else (), rounding, strict=True):
        told = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": nearest}
        for name, word in told.items():
            node.attributes[name] = ir.AttrString(name, word)


def _resizing(model: ir.Model) -> list[ir.Node]:
    return [node for node in model.graph if operation(node) in ("Resize", "Upsample")]


def _rounding(node: ir.Node) -> str:
    scales = _scales(node)
    larger, smaller = any(each > 1 for each in scales), any(each < 1 for each in scales)
    if larger and smaller and node.attributes.get_string("mode", "nearest") == "nearest":
        raise SourceError(
            f"node {node.name or node.outputs[0].name!r} resizes by {scales}, larger along one "
            "axis and smaller along another; operation sets from 11 on cannot do that with the "
            "nearest pixel: export the graph with operation set 11 or newer"
        )
    return "ceil" if smaller else "floor"


def _scales(node: ir.Node) -> list[float]:
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is not None and given.const_value is not None:
        return [float(each) for each in given.const_value.numpy().reshape(-1)]
    return list(node.attributes.get_floats("scales", ()))
