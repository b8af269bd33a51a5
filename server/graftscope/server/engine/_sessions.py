"""Sessions: opened when first used, a bounded number kept, runs that can be stopped.

Arrays stay on the device between runs. It must not know models or analyses.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graftscope.server.engine._devices import Device, Graph, open_session
from graftscope.server.errors import Cancelled, Corrupt

Feed: TypeAlias = ort.OrtValue | NDArray[np.generic]


class Cancellation:
    """Stops the runs that it was given to, from any thread and within milliseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[ort.RunOptions] = set()
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    @property
    def running(self) -> int:
        """How many runs go on."""
        return len(self._running)

    def cancel(self) -> None:
        """Stops all runs, now and later."""
        with self._lock:
            self._cancelled = True
            for options in self._running:
                options.terminate = True

    def check(self) -> None:
        """Raises Cancelled if `cancel` was called."""
        if self._cancelled:
            raise Cancelled("the job was cancelled")

    def run(self, session: ort.InferenceSession, binding: ort.IOBinding) -> None:
        """Runs a session, unless or until cancelled.

        Raises:
            Cancelled: `cancel` was called before or during the run.
        """
        options = ort.RunOptions()
        with self._lock:
            self.check()
            self._running.add(options)
        try:
            session.run_with_iobinding(binding, options)
        except Exception as error:
            if self._cancelled:
                raise Cancelled("the job was cancelled") from error
            raise
        finally:
            with self._lock:
                self._running.discard(options)


class Session:
    """One graph on one device. Runs from several threads go side by side."""

    def __init__(self, graph: Graph, device: Device) -> None:
        self._session = open_session(graph, device)
        self._device = device
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def run(
        self, feeds: Mapping[str, Feed], cancellation: Cancellation | None = None
    ) -> dict[str, ort.OrtValue]:
        """Runs the graph; what it gives stays on the device.

        Args:
            feeds: a value for every input; others are left alone.
            cancellation: what may stop the run.

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
            binding.bind_output(name, self._device.value)
        (cancellation or Cancellation()).run(self._session, binding)
        return dict(zip(self.outputs, binding.get_outputs(), strict=True))

    def place(self, value: Feed) -> ort.OrtValue:
        """Puts an array on the device; one that is there already stays."""
        if isinstance(value, ort.OrtValue):
            return value
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), self._device.value)


class SessionPool:
    """Keeps the sessions that were used last.

    Args:
        device: where all of them run.
        limit: how many stay open; each holds its own copy of the weights.
    """

    def __init__(self, device: Device, limit: int) -> None:
        self.device = device
        self._limit = limit
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, key: str, graph: Callable[[], Graph]) -> Session:
        """The session of this key, opened from `graph()` if it is not there."""
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = Session(graph(), self.device)
                if len(self._sessions) > self._limit:
                    self._sessions.popitem(last=False)
            self._sessions.move_to_end(key)
            return self._sessions[key]
