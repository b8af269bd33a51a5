"""Processes that wait for work, of all servers that this process ever holds.

Starting one takes a second. An embedded server often lives for a few calls, and the next one finds
what it left.
"""

import atexit
import os
import threading
import time

from graftscope.server.workers._process import Process

IDLE_S = 60.0
"""For how long a process that nobody needs stays."""


class Spares:
    """Keeps processes for a while.

    Args:
        idle_s: for how long.
    """

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._kept: list[tuple[float, Process]] = []
        self._reaper: threading.Timer | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def take(self) -> Process | None:
        """The one that was kept last and is still there."""
        with self._lock:
            while self._kept:
                _, process = self._kept.pop()
                if not process.ended:
                    return process
                process.close()
        return None

    def keep(self, process: Process) -> None:
        """Takes one over, unless it has ended."""
        if process.ended:
            return
        with self._lock:
            self._kept.append((time.monotonic(), process))
            if self._reaper is None:
                self._come_back(self._idle_s)

    def close(self) -> None:
        """Ends all that wait."""
        with self._lock:
            kept, self._kept = self._kept, []
            if self._reaper is not None:
                self._reaper.cancel()
                self._reaper = None
        for _, process in kept:
            process.close()

    def forget(self) -> None:
        """In a fork, where they are the parent's, and no other thread goes on."""
        self._lock, self._kept, self._reaper = threading.Lock(), [], None

    def _come_back(self, after_s: float) -> None:
        self._reaper = threading.Timer(after_s, self._reap)
        self._reaper.daemon = True
        self._reaper.start()

    def _reap(self) -> None:
        """Ends those that have waited for long, and comes back for the others."""
        before = time.monotonic() - self._idle_s
        with self._lock:
            old = [process for since, process in self._kept if since <= before]
            self._kept = [(since, process) for since, process in self._kept if since > before]
            self._reaper = None
            if self._kept:
                self._come_back(self._kept[0][0] - before)
        for process in old:
            process.close()


SPARES = Spares()
atexit.register(SPARES.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SPARES.forget)
