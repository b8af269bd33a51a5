"""The child's own side: its limits, and one line of JSON as its answer.

It is started with one request on its standard input, and ends after it.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from graftscope.sandbox._limits import Limits
from graftscope.sandbox._messages import Request, Verdict, Weights
from graftscope.sandbox._reasons import Reason
from graftscope.sandbox._tried import try_bundle, try_file
from graftscope.sandbox.errors import ModelRefusedError

_SPARE_BYTES: Final = 2**24
"""Given up when memory is short, so that there is some to say so."""


def main() -> None:
    """Answer one request."""
    request = Request.read(sys.stdin.readline())
    answer = os.fdopen(os.dup(1), "w")
    _silence()
    limits = Limits(**request.limits)  # type: ignore[arg-type]
    spare = bytearray(_SPARE_BYTES)

    def say(line: Weights | Verdict) -> None:
        answer.write(json.dumps(asdict(line)) + "\n")
        answer.flush()

    def of_weights(size: int) -> None:
        limit(limits, size)
        say(Weights(size))

    limit(limits, request.weights_bytes)
    try:
        verdict = _tried(request, limits, of_weights)
    except MemoryError:
        del spare
        verdict = Verdict(Reason.TOO_MUCH_MEMORY)
    except Exception as error:  # no library promises what it raises for a crafted file
        verdict = Verdict(Reason.UNREADABLE, f"it cannot be read ({type(error).__name__})")
    say(verdict)
    # What the model left behind is not taken down: it might hang.
    os._exit(0)


def _tried(request: Request, limits: Limits, of_weights: Callable[[int], None]) -> Verdict:
    path = Path(request.path)
    try:
        if request.is_bundle:
            try_bundle(path, limits, request.weights_bytes)
        else:
            try_file(path, request.shapes, limits, of_weights)
    except ModelRefusedError as error:
        return Verdict(error.reason, str(error))
    return Verdict()


def limit(limits: Limits, weights_bytes: int) -> None:
    """Limit this process, as far as its platform can; the parent watches the clock too."""
    try:
        import resource
    except ImportError:
        return
    cpu_s = int(limits.cpu_s(weights_bytes)) + 1
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes(weights_bytes)),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        # Soft limits: weights beside the graph, which are known later, raise them.
        _, hard = resource.getrlimit(what)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (bound, hard))
    # Should the parent be gone.
    signal.alarm(int(limits.wall_s(weights_bytes)) + 1)


def _silence() -> None:
    """What libraries print in C++ goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
