"""Operations of other domains than ONNX's own, and the tensors that only they understand.

Rules
1. What an operation of a foreign domain makes or reads may be arranged in its own way (ONNX
   Runtime's optimiser lays maps out in blocks of channels, or channels last), so it is no layer.
2. Operations that take their data as they come, such as an addition, hand the arrangement on. It is
   known again where an operation of ONNX's own that asks for one, such as a convolution, reads or
   makes the tensor.
3. Blocks are as large as suits one processor, and another reads them as something else: a graph
   that holds such is refused whole.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import onnx_ir as ir

from graftscope.graph._operations import operation
from graftscope.graph._tensors import constants_of, inputs_of
from graftscope.graph.errors import ForeignLayoutError

_BLOCKED: Final = "com.microsoft.nchwc"
_OPTIMISER: Final = "com.microsoft"
_ADVICE: Final = (
    ", which ONNX Runtime writes where it saves a graph that it has optimised: use the file that "
    "it was made from"
)
_POOLING: Final = frozenset(
    {"AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"}
)
_NORMALISING: Final = frozenset(
    {"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LRN"}
)
_MULTIPLYING: Final = frozenset(
    {"Conv", "ConvInteger", "ConvTranspose", "Einsum", "Gemm", "MatMul", "MatMulInteger"}
    | {"QLinearConv", "QLinearMatMul"}
)
_REARRANGING: Final = frozenset(
    {"Col2Im", "DepthToSpace", "Flatten", "GridSample", "Reshape", "SpaceToDepth", "Transpose"}
)
_ASKS_FOR_ARRANGEMENT: Final = _POOLING | _NORMALISING | _MULTIPLYING | _REARRANGING
_ASKS_FOR_SIZE: Final = frozenset({"Shape", "Size"})


def foreign_operations(graph: ir.Graph) -> str:
    """Say which operations of foreign domains a graph holds, and what to do about it.

    Returns:
        A clause such as "operations of domain com.microsoft (FusedConv), which ONNX Runtime
        writes ..."; empty where
        there are none.
    """
    types: dict[str, set[str]] = {}
    for node in ir.traversal.RecursiveGraphIterator(graph):
        if node.domain:
            types.setdefault(node.domain, set()).add(node.op_type)
    if not types:
        return ""
    named = " and ".join(
        f"{domain} ({', '.join(sorted(found))})" for domain, found in sorted(types.items())
    )
    advice = _ADVICE if any(each.startswith(_OPTIMISER) for each in types) else ""
    return f"operations of domain {named}{advice}"


def refuse_blocks(graph: ir.Graph) -> None:
    """Refuse a graph whose maps lie in blocks of channels, which fit one processor alone.

    Raises:
        ForeignLayoutError: If there is such an operation; it names the domain and what to do.
    """
    if any(node.domain == _BLOCKED for node in ir.traversal.RecursiveGraphIterator(graph)):
        raise ForeignLayoutError(
            "the graph's maps lie in blocks of channels that fit one kind of processor, so that "
            f"its channels cannot be told apart: it holds {foreign_operations(graph)}"
        )


def foreign_tensors(graph: ir.Graph) -> set[ir.Value]:
    """Return the computed tensors of which nothing tells that they are arranged as ONNX has it."""
    if not any(node.domain for node in graph):
        return set()
    computed = {value for node in graph for value in node.outputs} - constants_of(graph)
    touched = {
        value for node in graph if node.domain for value in _tensors_at(node) if value in computed
    }
    found, waiting = set(touched), list(touched)
    while waiting:
        group = _arranged_alike(waiting.pop(), computed)
        if not any(_asks(node) for value in group for node in _nodes_at(value)):
            waiting.extend(group - found - touched)
            found |= group
    return found


def _arranged_alike(value: ir.Value, computed: set[ir.Value]) -> set[ir.Value]:
    """Return the tensors that are arranged like one, the one among them."""
    group, waiting = {value}, [value]
    while waiting:
        for node in _nodes_at(waiting.pop()):
            if node.domain or _asks(node) or operation(node) in _ASKS_FOR_SIZE:
                continue
            reached = {each for each in _tensors_at(node) if each in computed} - group
            group |= reached
            waiting.extend(reached)
    return group


def _asks(node: ir.Node) -> bool:
    return operation(node) in _ASKS_FOR_ARRANGEMENT


def _nodes_at(value: ir.Value) -> Iterator[ir.Node]:
    producer = value.producer()
    if producer is not None:
        yield producer
    yield from (use.node for use in value.uses())


def _tensors_at(node: ir.Node) -> Iterable[ir.Value]:
    return (*inputs_of(node), *node.outputs)
