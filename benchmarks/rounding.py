"""A reduced precision for processors that have none: factors are rounded before every product.

What ONNX Runtime's own provider then computes has the rounding of bfloat16 arithmetic whose sums
are float32, at float32's speed. It is for finding out what rounding does, not what it gains.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from graftscope.server.engine import Backend, Device, Precision, SessionPool
from graftscope.server.engine._devices import Graph
from graftscope.server.engine._precision import CPU
from graftscope.server.engine._sessions import Session

PLAIN = Backend(CPU)
ROUNDED = Backend(CPU, Precision.BF16)
"""Taken for bfloat16 wherever backends are compared."""

_PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


class RoundingPool(SessionPool):
    """Sessions on the processor, which offers `ROUNDED` beside float32.

    Args:
        limit: how many sessions stay open.
        to: ONNX's number of the type that factors are rounded to.
    """

    def __init__(self, limit: int, to: int = TensorProto.BFLOAT16) -> None:
        super().__init__(Device.CPU, limit, offers=(PLAIN, ROUNDED))
        self._to = to

    def get(self, key: str, graph: Callable[[], Graph], backend: Backend | None = None) -> Session:
        """As `SessionPool`; graphs of `ROUNDED` get their roundings."""
        if backend != ROUNDED:
            return super().get(key, graph, backend)
        return super().get(key, lambda: _rounded(graph(), self._to), backend)


def _rounded(graph: Graph, to: int) -> Graph:
    if isinstance(graph.model, Path):
        proto = onnx.load(graph.model)
    else:
        proto = onnx.load_model_from_string(graph.model)
        onnx.load_external_data_for_model(proto, str(graph.folder))
    nodes = [each for i, node in enumerate(proto.graph.node) for each in _with_casts(i, node, to)]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return Graph(proto.SerializeToString(), graph.folder, graph.keeps_memory)


def _with_casts(at: int, node: onnx.NodeProto, to: int) -> Iterator[onnx.NodeProto]:
    """A node behind what rounds its two factors, if it multiplies; a bias is added in float32."""
    if node.op_type in _PRODUCTS:
        for i, name in enumerate(node.input[:2]):
            rounded, back = f"rounded.{at}.{i}", f"rounded.{at}.{i}.back"
            yield helper.make_node("Cast", [name], [rounded], to=to)
            yield helper.make_node("Cast", [rounded], [back], to=TensorProto.FLOAT)
            node.input[i] = back
    yield node
