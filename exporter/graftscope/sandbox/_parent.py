"""The parent's side: starts the child, watches the clock, and makes an error of what it says."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from graftscope.sandbox._limits import PREFIX, Limits
from graftscope.sandbox._messages import Request, Verdict, Weights
from graftscope.sandbox._reasons import Reason
from graftscope.sandbox.errors import ModelRefusedError, SandboxUnavailableError

MEMORY_IS_LIMITED: Final = os.name == "posix"
"""Whether a child's memory can be limited here; where it cannot, its time still is."""

_LONGEST_LINE: Final = 2**16
_START_S: Final = 20.0
"""What starting Python and loading ONNX Runtime may take on a busy machine."""
_ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


def try_in_child(request: Request, limits: Limits) -> None:
    """Have a child try a model.

    Raises:
        ModelRefusedError: If it is refused, or takes its process down.
        SandboxUnavailableError: If no child can be started.
    """
    verdict, code, late = _ask(request, limits)
    if verdict is None:
        verdict = _ended(code, late)
    if verdict.reason == Reason.TOO_SLOW:
        seconds = limits.cpu_s(request.weights_bytes)
        raise limits.refuse(f"it takes longer than {seconds:.3g} s to open", "sandbox_seconds")
    if verdict.reason == Reason.TOO_MUCH_MEMORY:
        most = limits.memory_bytes(request.weights_bytes)
        raise limits.refuse(
            f"it takes more than {most / 2**20:,.0f} MiB to open", "sandbox_memory_mib"
        )
    if verdict.reason:
        raise ModelRefusedError(verdict.line, verdict.reason)


def as_given(limits: Limits) -> Mapping[str, float]:
    """Limits as a request has them."""
    return asdict(limits)


def _ask(request: Request, limits: Limits) -> tuple[Verdict | None, int, bool]:
    """The child's verdict, None where it gives none; how it ended; whether it was late."""
    process = _started()
    clock = _Clock(process.kill)
    verdict = None
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        clock.start(_START_S + limits.wall_s(request.weights_bytes))
        # A child that ends at once is told by how it ended.
        with contextlib.suppress(OSError), process.stdin as sent:
            sent.write(request.line().encode())
        for line in iter(lambda: process.stdout.readline(_LONGEST_LINE), b""):  # type: ignore[union-attr]
            said = _read(line)
            if isinstance(said, Weights):
                clock.start(limits.wall_s(said.weights_bytes))
                continue
            verdict = said
            break
        return verdict, process.wait(), clock.struck
    finally:
        clock.stop()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class _Clock:
    """Ends a child that is late."""

    def __init__(self, end: Callable[[], None]) -> None:
        self.struck = False
        self._end = end
        self._timer: threading.Timer | None = None

    def start(self, seconds: float) -> None:
        self.stop()
        self._timer = threading.Timer(seconds, self._strike)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _strike(self) -> None:
        self.struck = True
        self._end()


def _started() -> "subprocess.Popen[bytes]":
    # Tokens and passwords are none of its business.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "graftscope.sandbox"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept | _ONE_THREAD,
        )
    except OSError as error:
        raise SandboxUnavailableError(
            f"no process can be started to try models in: {error.strerror}"
        ) from error


def _read(line: bytes) -> Verdict | Weights | None:
    try:
        found = json.loads(line)
        if "weights_bytes" in found:
            return Weights(int(found["weights_bytes"]))
        return Verdict(str(found["reason"]), str(found["line"]))
    except (ValueError, KeyError, TypeError):
        return None


def _ended(code: int, late: bool) -> Verdict:
    """What a child that said nothing died of."""
    slow = {-getattr(signal, name, 0) for name in ("SIGXCPU", "SIGALRM")} - {0}
    if late or code in slow:
        return Verdict(Reason.TOO_SLOW)
    if code in (-signal.SIGTERM, 1):
        raise SandboxUnavailableError(
            "the process that models are tried in could not start; run"
            f" `{Path(sys.executable).name} -m graftscope.sandbox` to see why"
        )
    if os.name == "posix" and code == -signal.SIGKILL:
        return Verdict(Reason.TOO_MUCH_MEMORY)
    return Verdict(Reason.CRASHES, "it ends the process that opens it")
