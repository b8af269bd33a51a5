"""Sessions: opened when first used, a bounded number kept, runs that can be stopped.

Arrays stay on the device between runs. It must not know models or analyses.
"""

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar, cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graftscope.graph import PIXEL_MEANS
from graftscope.server.engine._cancellation import Cancellation, cancellation_here
from graftscope.server.engine._devices import Device, Graph, backends, open_session
from graftscope.server.engine._graph_memory import graph_memory, read_graph
from graftscope.server.engine._memo import Memo
from graftscope.server.engine._memory import MemoryBudget
from graftscope.server.engine._precision import Backend, choose_backends
from graftscope.server.engine._turns import Turns
from graftscope.server.errors import Corrupt
from graftscope.server.logs import get_logger
from graftscope.server.tally import Tally

# What an arena holds of what its tensors take: it grows by doubling, and kernels work in it too.
# Measured on the bundles that come with the package: 1.5 to 2.0.
_ARENA = 1.75

# As ONNX Runtime calls the memory that it shares with numpy.
_HOST = "cpu"

Feed: TypeAlias = ort.OrtValue | NDArray[np.generic]


_log = get_logger("engine")


class Kept(Protocol):
    """What is opened when it is first used, and closed when its memory is wanted."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs."""

    @property
    def bytes(self) -> int:
        """What it holds of memory."""


_Kept = TypeVar("_Kept", bound=Kept)


class Session:
    """One graph on one device. Runs from several threads go side by side.

    Args:
        graph: what to open.
        backend: what runs it.
        streams: how many runs will go side by side.

    Attributes:
        takes: what it takes of memory.
        inputs: names of what is fed.
        outputs: names of what it gives.
    """

    def __init__(self, graph: Graph, backend: Backend, streams: int = 1) -> None:
        self._session = open_session(graph, backend, streams)
        self._memory = backend.memory
        self.takes = graph_memory(read_graph(graph.model))
        self._keeps_memory = graph.keeps_memory and backend.memory == _HOST
        self._most_samples = self._running = self._most_running = 0
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def run(
        self, feeds: Mapping[str, Feed], cancellation: Cancellation | None = None
    ) -> dict[str, ort.OrtValue]:
        """Runs the graph; what it gives stays on the device.

        Args:
            feeds: a value for every input; others are left alone.
            cancellation: what may stop the run; by default what the calling thread works for.

        Raises:
            Cancelled: the run was stopped.
            Corrupt: the graph needs an input that is not fed.
        """
        missing = [name for name in self.inputs if name not in feeds]
        if missing:
            raise Corrupt(
                f"a graph of the bundle needs the input {missing[0]!r}, which its manifest does "
                f"not name; it names: {', '.join(feeds)}"
            )
        binding = self._session.io_binding()
        # A placed array only borrows numpy's memory, so it is held until the run is over.
        placed = {name: self.place(feeds[name]) for name in self.inputs}
        for name, value in placed.items():
            binding.bind_ortvalue_input(name, value)
        for name in self.outputs:
            binding.bind_output(name, self._memory)
        # Counted without a lock: what it decides is an estimate.
        self._running += 1
        self._most_running = max(self._most_running, self._running)
        try:
            (cancellation or cancellation_here()).run(self._session, binding)
        finally:
            self._running -= 1
        outputs = dict(zip(self.outputs, binding.get_outputs(), strict=True))
        self._most_samples = max(self._most_samples, *map(_samples, outputs.items()))
        return outputs

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    @property
    def bytes(self) -> int:
        """What it holds of memory: its weights, and what its largest runs left in its arena."""
        samples = self._most_samples if self.takes.has_batch else 1
        tensors = self.takes.sample_bytes * samples * self._most_running
        arena = round(_ARENA * tensors) if self._keeps_memory else 0
        return self.takes.weights_bytes + arena

    def place(self, value: Feed) -> ort.OrtValue:
        """Puts an array on the device; one that is there already stays."""
        if isinstance(value, ort.OrtValue):
            return value
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), self._memory)


def _samples(output: tuple[str, ort.OrtValue]) -> int:
    """How many samples a run was of: hybrids are pairs times interventions, (E, B)."""
    name, value = output
    shape = value.shape()
    return math.prod(shape) if name == PIXEL_MEANS else (shape or [1])[0]


class SessionPool:
    """Keeps the sessions that were used last.

    Args:
        device: where all of them run.
        limit: how many stay open; each holds its own copy of the weights.
        streams: how many runs will go side by side.
        offers: what runs here, the plain one first; by default what the machine has.
        turns: who goes first there, with the default share of jobs if not given.
        memory: where sessions take theirs, at most half of it; not counted if not given.

    Attributes:
        device: where all of them run.
        turns: who goes first there.
        limit: as given.
        made: counts sessions, and that nobody has them any more.
        made_others: likewise what takes the place of sessions.
        opening_s: how long sessions took to open, all together.
    """

    def __init__(
        self,
        device: Device,
        limit: int,
        streams: int = 1,
        offers: Sequence[Backend] | None = None,
        turns: Turns | None = None,
        memory: MemoryBudget | None = None,
    ) -> None:
        self.device = device
        self.turns = turns or Turns()
        self._offers = offers
        self._streams, self.limit = streams, limit
        self._sessions = Memo(limit)
        self.made, self.made_others = Tally(), Tally()
        self.opening_s = 0.0
        self._budget = memory
        if memory is not None:
            memory.reclaim_by(self.close_idle)

    def __len__(self) -> int:
        return len(self._sessions)

    def backends(self, wanted: str) -> tuple[Backend, ...]:
        """What the device can run for a precision that is asked for, the plain one first.

        Args:
            wanted: fp32, bf16, tf32, fp16, or auto for all that there are.

        Raises:
            PrecisionUnavailable: the precision cannot be run; the message says which can.
        """
        if self._offers is not None:
            return choose_backends(self._offers, wanted, self.device.value)
        return backends(self.device, wanted)

    def is_open(self, key: str, backend: Backend) -> bool:
        """Whether a session is there."""
        return (key, backend) in self._sessions

    def get(self, key: str, graph: Callable[[], Graph], backend: Backend | None = None) -> Session:
        """The session of this key and backend, opened from `graph()` if it is not there.

        Who asks for another one does not wait until it is open.

        Args:
            key: the graph's name.
            graph: gives the graph.
            backend: what runs it; the device's own provider in float32 by default.
        """
        runs = backend or self.device.plain
        return self._keep((key, runs), lambda: self._opened(key, graph, runs))

    def keep(self, key: Hashable, make: Callable[[], _Kept]) -> _Kept:
        """What takes the place of a session under this key, made by `make()` if it is not there."""

        def made() -> _Kept:
            kept = make()
            self.made_others.follow(kept)
            return kept

        return self._keep(key, made)

    @property
    def open(self) -> tuple[int, int]:
        """How many sessions are open, and how many others take the place of one."""
        kept = [each for _, each in self._by_use()]
        sessions = sum(isinstance(each, Session) for each in kept)
        return sessions, len(kept) - sessions

    def _keep(self, key: Hashable, make: Callable[[], _Kept]) -> _Kept:
        kept = self._sessions.get(key, make)
        self._account()
        return kept

    @property
    def held_bytes(self) -> int:
        """What open sessions hold of memory."""
        return sum(session.bytes for _, session in self._by_use())

    def close_idle(self, number: int) -> int:
        """Closes sessions in which nothing runs, those first that were used longest ago.

        Args:
            number: how many bytes are to be given back.

        Returns:
            How many are.
        """
        closed = 0
        for key, session in self._by_use():
            if closed >= number:
                break
            if session.is_idle:
                closed += session.bytes
                self._sessions.drop(key)
        if closed:
            _log.debug("sessions closed", bytes=closed, open=len(self))
            self._tell()
        return closed

    def _account(self) -> None:
        """Keeps sessions within their half, and tells what they hold."""
        if self._budget is None:
            return
        beyond = self._tell() - self._budget.room_bytes // 2
        if beyond > 0:
            self.close_idle(beyond)

    def _tell(self) -> int:
        held = self.held_bytes
        if self._budget is not None:
            self._budget.sessions_hold(held)
        return held

    def _by_use(self) -> list[tuple[Hashable, Kept]]:
        return cast(list[tuple[Hashable, Kept]], self._sessions.values)

    def _opened(self, key: str, graph: Callable[[], Graph], backend: Backend) -> Session:
        started_s = time.perf_counter()
        session = Session(graph(), backend, self._streams)
        self.made.follow(session)
        took_s = time.perf_counter() - started_s
        self.opening_s += took_s
        ms = round(1e3 * took_s, 1)
        _log.debug("session opened", graph=key, backend=str(backend), ms=ms, open=len(self) + 1)
        return session
