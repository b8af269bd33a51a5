"""Named places at which a test has the server die, wait or meet an error.

Nothing happens at them unless GRAFTSCOPE_FAILPOINT names one, which only tests do:

    GRAFTSCOPE_FAILPOINT=NAME            kills the process there, as `kill -9` does
    GRAFTSCOPE_FAILPOINT=NAME:freeze     stops it there, as `kill -STOP` does
    GRAFTSCOPE_FAILPOINT=NAME:full       raises the error of a full disk there, each time
    GRAFTSCOPE_FAILPOINT=NAME@3          from the third time on that the place is reached
"""

import errno
import os
import signal
import threading

VARIABLE = "GRAFTSCOPE_FAILPOINT"

FAILPOINTS = (
    "job-stored",
    "checkpoint-written",
    "checkpoint-named",
    "result-written",
    "result-named",
    "artifact-written",
    "artifact-named",
)
"""All names, in the order in which a job meets them."""

_lock = threading.Lock()
_reached = 0


def reach(name: str) -> None:
    """Does here what the variable says of this name; nothing where it does not speak of it.

    Raises:
        OSError: a full disk, where that is asked for.
    """
    if wanted := os.environ.get(VARIABLE):
        _act(name, wanted)


def _act(name: str, wanted: str) -> None:
    global _reached  # noqa: PLW0603 - a place is reached from several threads and modules
    place, _, action = wanted.partition(":")
    place, _, nth = place.partition("@")
    if place != name:
        return
    with _lock:
        _reached += 1
        due = _reached >= int(nth or 1)
    if not due:
        return
    if action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    # On Windows there is no SIGKILL, and `os.kill` ends a process whatever the signal.
    ending = signal.SIGSTOP if action == "freeze" else getattr(signal, "SIGKILL", signal.SIGTERM)
    os.kill(os.getpid(), ending)
