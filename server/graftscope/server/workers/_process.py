"""One process, seen from the server: started, called, killed."""

import io
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import BinaryIO, cast

import psutil

from graftscope.server.errors import WorkerLost
from graftscope.server.tally import Tally
from graftscope.server.workers._frames import read_frame, write_frame
from graftscope.server.workers._messages import Reply, Request

_MODULE = "graftscope.server.workers"

_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "BLIS")} | {
    "VECLIB_MAXIMUM_THREADS": "1"
}
"""Several go side by side, and beside what computes hybrids: threads that wait for each other in a
busy core burn it. And sums round by how many threads add them up, so this is the same anywhere."""


PROCESSES = Tally()
"""Those that were started, and have ended; of all servers that this process ever holds."""

_ALL: "weakref.WeakSet[Process]" = weakref.WeakSet()


def _forget_all() -> None:
    """In a fork: they are the parent's, and end with it only where no pipe of theirs stays open."""
    for process in tuple(_ALL):
        process.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class Process:
    """A process that makes one call at a time, on one thread.

    It is no fork, which is dangerous beside gRPC's threads, and imports nothing of the user's
    program, inside which an embedded server runs.
    """

    def __init__(self) -> None:
        # -P: what lies in the folder that the server was started in is no module of the work's.
        command = [sys.executable, "-P", "-m", _MODULE]
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": paths},
            # A terminal's signals are for the server.
            start_new_session=True,
        )
        self._seen, self._used_s = psutil.Process(self._process.pid), 0.0
        _ALL.add(self)
        PROCESSES.follow(self)
        # Weakly, since a work may hold large arrays.
        self._work: weakref.ref[Callable[..., object]] | None = None

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def used_s(self) -> float:
        """Processor time that it has used; once it is gone, what was known last."""
        try:
            times = self._seen.cpu_times()
            self._used_s = times.user + times.system
        except psutil.Error:
            pass
        return self._used_s

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def call(self, work: Callable[..., object], arguments: tuple[object, ...]) -> Reply:
        """Makes a call; blocks.

        Raises:
            WorkerLost: the process has ended.
        """
        known = self._work is not None and work is self._work()
        request = Request(None if known else work, arguments)
        try:
            write_frame(cast(BinaryIO, self._process.stdin), request)
            self._work = _weakly(work)
            return cast(Reply, read_frame(cast(BinaryIO, self._process.stdout)))
        except (OSError, EOFError) as error:
            raise WorkerLost(
                f"the process that computed this {_how(self._process.wait())} while it ran; the "
                "server goes on, and the same request tries again"
            ) from error

    def kill(self) -> None:
        """Ends it at once; from any thread."""
        self._process.kill()

    def forget(self) -> None:
        """Closes its pipes here, where a fork has a copy of them."""
        self._process.returncode = 0  # It is nobody's child here.
        for file in (self._process.stdin, self._process.stdout):
            cast(io.BufferedWriter, file).raw.close()

    def close(self) -> None:
        """Ends it and frees what it holds here."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout):
            try:
                cast(BinaryIO, file).close()
            except (OSError, ValueError):
                continue  # What was not sent yet is lost with it; in a fork, it is closed already.


def _weakly(work: Callable[..., object]) -> "weakref.ref[Callable[..., object]] | None":
    """None for a kind that cannot be held so, which is then sent anew each time."""
    try:
        return weakref.ref(work)
    except TypeError:
        return None


def _how(status: int) -> str:
    if status == -9:
        return "was killed (signal 9), as Linux does where memory runs out,"
    return f"was ended by signal {-status}" if status < 0 else f"ended (exit status {status})"
