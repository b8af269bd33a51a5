"""Which operations a model may hold, and how large it is with its functions written out.

Rules
1. Of ONNX's own operations all but those that have no place in a generator: text, picture files.
2. Of ONNX Runtime's own those that its optimiser and its quantiser write, which bundles hold: no
   operation that reads a file, loads code or searches.
3. A function may stand in a file that is exported, as PyTorch writes them; not in a bundle, whose
   graphs are written out. Written out they count towards the limit of nodes.
4. A loop may stand in a file that is exported, where it is refused by name if it lies on the way
   to the image; not in a bundle. `If` may stand in both: it runs one of its two graphs, once.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import onnx

from graftscope.sandbox._limits import Limits
from graftscope.sandbox._reasons import Reason
from graftscope.sandbox.errors import ModelRefusedError

_OWN: Final = ("", "ai.onnx")
_LOOPS: Final = frozenset({"Loop", "Scan", "SequenceMap"})
_OUT_OF_PLACE: Final = frozenset(
    {"ImageDecoder", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"}
    | {"TfIdfVectorizer"}
)
_CONTRIBUTED: Final = frozenset(
    # What the optimiser makes of ONNX's own.
    {"Attention", "BiasAdd", "BiasGelu", "BiasSoftmax", "BiasSplitGelu", "FastGelu", "FusedConv"}
    | {"FusedGemm", "FusedMatMul", "FusedMatMulActivation", "Gelu", "GemmFastGelu", "GridSample"}
    | {"GroupNorm", "Inverse", "MultiHeadAttention", "NhwcConv", "NhwcFusedConv", "NhwcMaxPool"}
    | {"Pad", "QuickGelu", "RotaryEmbedding", "ScaledSiLU", "SkipGroupNorm"}
    | {"SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "TransposeMatMul", "Trilu"}
    # What the quantiser writes.
    | {"DequantizeLinear", "DynamicQuantizeMatMul", "MatMulBnb4", "MatMulInteger16"}
    | {"MatMulIntegerToFloat", "MatMulNBits", "MulInteger", "QAttention", "QGemm", "QLinearAdd"}
    | {"QLinearAveragePool", "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool"}
    | {"QLinearLeakyRelu", "QLinearMul", "QLinearReduceMean", "QLinearSigmoid", "QLinearSoftmax"}
    | {"QLinearWhere", "QuantizeLinear", "ReduceSumInteger"}
)
_RUNTIME: Final = "com.microsoft"
_ARRANGED: Final = ("com.microsoft.nchwc", "com.ms.internal.nhwc")
_MOST_FUNCTIONS: Final = 2_000
_DEEPEST_CALLS: Final = 64

_Name: TypeAlias = tuple[str, str, str]
"""Domain, name and overload of a function."""


def refuse_operations(model: onnx.ModelProto, limits: Limits, *, in_bundle: bool) -> None:
    """Refuse a model that holds what it may not.

    Args:
        model: What is opened.
        limits: How many nodes it may have.
        in_bundle: Whether it is one of a bundle's graphs, where less is allowed.

    Raises:
        ModelRefusedError: If it does; it names the operation.
    """
    functions = {(each.domain, each.name, each.overload): each for each in model.functions}
    if functions and in_bundle:
        raise _not_allowed(f"it holds a function, {next(iter(functions))[1]!r}; a bundle has none")
    if len(model.functions) > _MOST_FUNCTIONS:
        raise ModelRefusedError(
            f"it holds {len(model.functions)} functions; at most {_MOST_FUNCTIONS} are allowed",
            Reason.TOO_LARGE,
        )
    bodies = [model.graph.node, *(each.node for each in functions.values())]
    for node in (node for body in bodies for node in _all_nodes(body)):
        if _called(node) not in functions:
            _refuse(node, in_bundle)
    _refuse_size(model, functions, limits)


def _refuse(node: onnx.NodeProto, in_bundle: bool) -> None:
    if node.domain in _OWN:
        if node.op_type in _OUT_OF_PLACE:
            raise _not_allowed(f"operation {node.op_type!r} has no place in a generator")
        if in_bundle and node.op_type in _LOOPS:
            raise _not_allowed(f"operation {node.op_type!r} is a loop; a bundle has none")
    elif node.domain == _RUNTIME:
        if node.op_type not in _CONTRIBUTED:
            raise _not_allowed(
                f"operation {node.op_type!r} of {_RUNTIME} is not among those that generators need"
            )
    elif node.domain not in _ARRANGED:
        raise _not_allowed(
            f"operation {node.op_type[:80]!r} is of domain {node.domain[:80]!r}; allowed are ONNX's"
            f" own and {_RUNTIME}"
        )


def _refuse_size(
    model: onnx.ModelProto, functions: dict[_Name, onnx.FunctionProto], limits: Limits
) -> None:
    """Refuse functions that call each other without end, or come to too many nodes."""
    called = {
        name: [each for each in map(_called, _all_nodes(body.node)) if each in functions]
        for name, body in functions.items()
    }
    size: dict[_Name, int] = {}
    depth: dict[_Name, int] = {}
    while len(size) < len(functions):
        ready = [x for x, calls in called.items() if x not in size and size.keys() >= set(calls)]
        if not ready:
            raise _not_allowed("its functions call each other without end")
        for name in ready:
            own = sum(1 for _ in _all_nodes(functions[name].node))
            size[name] = own + sum(size[each] for each in called[name])
            depth[name] = 1 + max((depth[each] for each in called[name]), default=0)
            if depth[name] > _DEEPEST_CALLS:
                raise ModelRefusedError(
                    f"its functions call each other more than {_DEEPEST_CALLS} deep",
                    Reason.TOO_LARGE,
                )
    whole = sum(1 + size.get(_called(node), 0) for node in _all_nodes(model.graph.node))
    if whole > limits.sandbox_nodes:
        raise limits.refuse(
            f"with its functions written out it has {min(whole, 10**12)} nodes", "sandbox_nodes"
        )


def _called(node: onnx.NodeProto) -> _Name:
    return (node.domain, node.op_type, node.overload)


def _all_nodes(body: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes of a body, and of the graphs inside them."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                waiting.extend(attribute.g.node)
            for graph in attribute.graphs:
                waiting.extend(graph.node)


def _not_allowed(line: str) -> ModelRefusedError:
    return ModelRefusedError(line, Reason.NOT_ALLOWED)
