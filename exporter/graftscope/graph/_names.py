"""Name layers after the modules that computed them.

PyTorch's exporter writes the path of modules behind every node into its metadata. A layer is
named after the outermost module that computed this layer and no other: the stage `deconv1`, not
its activation function `deconv1.activation`. It does not know what a layer is.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile

import onnx_ir as ir

from graftscope.graph._walk import name_of

_SCOPES = "pkg.torch.onnx.name_scopes"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LENGTH_LIMIT = 100
"""Leaves room for a graph file's suffix where a file's name has at most 255 bytes."""


def layer_names(values: Sequence[ir.Value]) -> list[str]:
    """Return a name for each of the tensors: unique, also where case is ignored, file-name safe."""
    scopes = [_module_scopes(value) for value in values]
    if not all(scopes):
        return _unique(name_of(value) for value in values)
    return _unique(_without_common_parents([_own_module(own, scopes) for own in scopes]))


def _module_scopes(value: ir.Value) -> tuple[str, ...]:
    """Return the paths of the modules around a tensor's producer, outermost first.

    A node outside every module, such as a reshape between two of them, belongs to the last
    module that its data went through.
    """
    node = value.producer()
    while node is not None:
        # The first scope is the whole model, the last is the operation itself.
        scopes = _scopes_of(node)[1:-1]
        if scopes:
            return scopes
        data = node.inputs[0] if node.inputs else None
        node = None if data is None else data.producer()
    return ()


def _scopes_of(node: ir.Node) -> tuple[str, ...]:
    text = node.metadata_props.get(_SCOPES)
    return () if text is None else tuple(str(scope) for scope in ast.literal_eval(text))


def _own_module(own: tuple[str, ...], all_scopes: list[tuple[str, ...]]) -> str:
    layers_in = Counter(scope for scopes in all_scopes for scope in scopes)
    return next((scope for scope in own if layers_in[scope] == 1), own[-1])


def _without_common_parents(paths: list[str]) -> list[str]:
    """Drop the modules around every layer, but keep what a bare number needs to be a name."""
    parts = [path.split(".") for path in paths]
    levels = zip(*(path[:-1] for path in parts), strict=False)
    shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    while shared and any(path[shared].isdigit() for path in parts):
        shared -= 1
    return [".".join(path[shared:]) for path in parts]


def _unique(names: Iterable[str]) -> list[str]:
    taken: set[str] = set()
    result = []
    for name in names:
        safe = _UNSAFE.sub("_", name).strip("._-")[:_LENGTH_LIMIT] or "layer"
        candidates = (safe, *(f"{safe}_{i}" for i in range(2, len(taken) + 3)))
        chosen = next(name for name in candidates if name.lower() not in taken)
        taken.add(chosen.lower())
        result.append(chosen)
    return result
