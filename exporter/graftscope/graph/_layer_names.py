"""Name layers after the modules that computed them.

PyTorch's exporter writes the path of modules behind every node into its metadata. It does not
know what a layer is.

Rules
1. A layer is named after the outermost module that computed this layer and no other: the stage
   `deconv1`, not its activation function `deconv1.activation`.
2. An activation function that is called for several layers tells nothing of any: a layer behind it
   is named after the module before it.
3. Where one module computed several layers, the last has its name, for that is what it returns;
   the others are numbered.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile

import onnx_ir as ir

from graftscope.graph._tensors import name_of

_SCOPES = "pkg.torch.onnx.name_scopes"
_OUTPUT = re.compile(r"/?(.+)_output_\d+")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LENGTH_LIMIT = 100
"""Leaves room for a graph file's suffix where a file's name has at most 255 bytes."""


def layer_names(values: Sequence[ir.Value], taken: Iterable[str] = ()) -> list[str]:
    """Return a name for each of the tensors: unique, also where case is ignored, file-name safe.

    Args:
        values: The tensors.
        taken: Names that are not free any more.
    """
    scopes = _telling_scopes(values)
    owned = [own for own in scopes if own]
    paths = iter(_without_common_parents([_own_module(own, owned) for own in owned]))
    named = zip(scopes, values, strict=True)
    names = [next(paths) if own else _from_tensor(name_of(v)) for own, v in named]
    ends = [
        bool(own) and _is_made_in(value, own[-1]) for own, value in zip(scopes, values, strict=True)
    ]
    return _unique(names, ends, taken)


def _telling_scopes(values: Sequence[ir.Value]) -> list[tuple[str, ...]]:
    """Return the modules around each tensor's producer; shared activation functions are left."""
    scopes = [_module_scopes(value) for value in values]
    shared = Counter(own[-1] for own in scopes if own)
    parents = {scope for value in values[:1] for scope in _parents(value)}
    return [
        _scopes_before(value, own)
        if own and shared[own[-1]] > 1 and own[-1] not in parents
        else own
        for value, own in zip(values, scopes, strict=True)
    ]


def _parents(value: ir.Value) -> set[str]:
    """Return the modules of a tensor's graph that hold modules."""
    node = value.producer()
    nodes = () if node is None or node.graph is None else node.graph
    return {scope for node in nodes for scope in _scopes_of(node)[1:-2]}


def _scopes_before(value: ir.Value, own: tuple[str, ...]) -> tuple[str, ...]:
    """Return the modules that gave an activation function its data; `own` if it is none."""
    node = value.producer()
    while node is not None and not any(map(_is_weight, node.inputs)):
        data = node.inputs[0] if node.inputs else None
        node = None if data is None else data.producer()
        scopes = () if node is None else _scopes_of(node)[1:-1]
        if scopes and scopes[-1] != own[-1]:
            return scopes
    return own


def _is_weight(value: ir.Value | None) -> bool:
    tensor = None if value is None else value.const_value
    return tensor is not None and tensor.size > 1 and tensor.dtype.is_floating_point()


def _is_made_in(value: ir.Value, module: str) -> bool:
    node = value.producer()
    return node is not None and _scopes_of(node)[1:-1][-1:] == (module,)


def _from_tensor(name: str) -> str:
    """Return the module path that PyTorch's older exporter made a tensor's name from."""
    match = _OUTPUT.fullmatch(name)
    return match[1].replace("/", ".") if match else name


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


def _unique(names: Sequence[str], ends: Sequence[bool], reserved: Iterable[str]) -> list[str]:
    """Number what is called the same; where a module ends in several, the last keeps its name."""
    taken = {name.lower() for name in reserved}
    safe = [_UNSAFE.sub("_", name).strip("._-")[:_LENGTH_LIMIT] or "layer" for name in names]
    last = {name: i for i, (name, end) in enumerate(zip(safe, ends, strict=True)) if end}
    result = dict.fromkeys(range(len(safe)), "")
    for i in sorted(result, key=lambda i: (last.get(safe[i]) != i, i)):
        candidates = (safe[i], *(f"{safe[i]}_{j}" for j in range(2, len(taken) + 3)))
        result[i] = next(name for name in candidates if name.lower() not in taken)
        taken.add(result[i].lower())
    return list(result.values())
