"""A pool of sessions that ONNX Runtime's own profiler watches, and what it saw.

It opens sessions with the engine's options and reads the profiler's files.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort

from benchmarks.arithmetic import Shape, multiply_adds
from graftscope.server.engine import (
    Backend,
    Device,
    SessionPool,
    _devices,
)
from graftscope.server.engine._sessions import Session


@dataclass(frozen=True)
class NodeTime:
    """One node of one graph.

    Attributes:
        graph: what the engine calls the graph.
        node: its name in the graph.
        operation: its kind.
        shape: of its first output.
        seconds: of all its runs.
        multiply_adds: of all its runs.
    """

    graph: str
    node: str
    operation: str
    shape: tuple[int, ...]
    seconds: float
    multiply_adds: int


@dataclass(frozen=True)
class Seen:
    """What the profiler saw of all sessions.

    Attributes:
        nodes: one an execution.
        running_s: inside sessions, nodes and what lies between them.
    """

    nodes: list[NodeTime]
    running_s: float


class ProfiledPool(SessionPool):
    """As the engine's pool, on the CPU provider.

    Args:
        folder: where the profiler writes.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(Device.CPU, 64)
        self._folder = folder
        self._profiled: dict[str, ort.InferenceSession] = {}

    def get(
        self, key: str, graph: Callable[[], _devices.Graph], backend: Backend | None = None
    ) -> Session:
        """As `SessionPool.get`."""
        session = super().get(key, graph, backend)
        if key not in self._profiled:
            self._profiled[key] = session._session = self._open(graph())
        return session

    def seen(self, counted: float) -> Seen:
        """Ends profiling.

        Args:
            counted: the share of every session's runs that counts, those that came last.
        """
        nodes: list[NodeTime] = []
        running_s = 0.0
        for number, (key, session) in enumerate(self._profiled.items()):
            events = json.loads(Path(session.end_profiling()).read_text())
            weights = weight_shapes(onnx.load(self._optimised(number), load_external_data=False))
            late = last_runs(events, counted)
            running_s += sum(_number(x["dur"]) for x in late if x["name"] == "model_run") / 1e6
            nodes += node_times(short_name(key), late, weights)
        return Seen(nodes, running_s)

    def _open(self, graph: _devices.Graph) -> ort.InferenceSession:
        options = _devices._options(graph)
        number = len(self._profiled)
        options.enable_profiling = True
        options.profile_file_prefix = str(self._folder / f"profile{number}")
        # The profiler leaves out the shapes of packed weights; they stand in here.
        options.optimized_model_filepath = str(self._optimised(number))
        model = graph.model if isinstance(graph.model, bytes) else str(graph.model)
        return ort.InferenceSession(model, options, providers=[Device.CPU.provider])

    def _optimised(self, number: int) -> Path:
        return self._folder / f"optimised{number}.onnx"


def short_name(key: str) -> str:
    """A graph's name in a pool without the model's digest and the list of rewrites."""
    return "/".join(part for part in key.split("/")[1:] if "+" not in part)


def weight_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of the second input of every node that has it from a file, by the node's name."""
    shapes = {x.name: tuple(x.dims) for x in model.graph.initializer}
    nodes = [node for node in model.graph.node if len(node.input) > 1]
    return {node.name: shapes[node.input[1]] for node in nodes if node.input[1] in shapes}


def last_runs(events: Sequence[Mapping[str, object]], share: float) -> list[dict[str, object]]:
    """The profiler's events from the beginning of the last runs on.

    Args:
        events: of one session.
        share: of its runs.
    """
    starts = sorted(_number(x["ts"]) for x in events if x["name"] == "model_run")
    skipped = len(starts) - round(share * len(starts))
    return [
        dict(x) for x in events if skipped < len(starts) and _number(x["ts"]) >= starts[skipped]
    ]


def node_times(
    graph: str, events: Sequence[Mapping[str, object]], weights: Mapping[str, Shape]
) -> list[NodeTime]:
    """One entry an execution of a node."""
    nodes = [x for x in events if x["cat"] == "Node" and str(x["name"]).endswith("_kernel_time")]
    return [_node_time(graph, x, weights) for x in nodes]


def _node_time(graph: str, event: Mapping[str, object], weights: Mapping[str, Shape]) -> NodeTime:
    name, details = str(event["name"]).removesuffix("_kernel_time"), event["args"]
    assert isinstance(details, dict)
    operation = details["op_name"]
    inputs, outputs = (_shapes(details[f"{x}_type_shape"]) for x in ("input", "output"))
    if name in weights:
        inputs = [inputs[0], tuple(weights[name])]
    count = multiply_adds(operation, inputs, outputs) if len(inputs) > 1 else 0
    seconds = _number(event["dur"]) / 1e6
    return NodeTime(graph, name, operation, outputs[0] if outputs else (), seconds, count)


def _shapes(listed: Sequence[Mapping[str, Sequence[int]]]) -> list[tuple[int, ...]]:
    """The profiler writes each as {type: extents}."""
    return [tuple(extents) for entry in listed for extents in entry.values()]


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
