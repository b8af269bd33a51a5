"""A process that does what it is sent, one thing after the other, until its pipe is closed."""

import gc
import os
import pickle
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

import psutil

from graftscope.server.workers._frames import read_frame, write_frame
from graftscope.server.workers._messages import Reply, Request


def main() -> None:
    """Serves the process that started this one."""
    # A terminal, or a supervisor that signals a whole group, means the server: it ends this process
    # in its own time.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    # Until the first reply libraries are imported, which takes a fifth longer where garbage is
    # looked for, of which there is none.
    gc.disable()
    sys.meta_path.insert(0, _NoPandas())
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a library prints must not end up among the replies.
    os.dup2(2, 1)
    work: Callable[..., object] = _nothing
    while True:
        try:
            request = cast(Request, read_frame(requests))
        except EOFError:
            return
        work = request.work or work
        with _ended_with_the_pipe(requests):
            reply = _reply(work, request)
        del request
        _send(replies, reply)
        gc.freeze()
        gc.enable()


class _NoPandas:
    """Has scikit-learn do without pandas, which it imports wherever that is installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """As importers do: passes over all other modules."""
        if name == "pandas":
            raise ModuleNotFoundError("numbers come as arrays", name=name)


def _nothing() -> None:
    """What is done before there was any work."""


def _reply(work: Callable[..., object], request: Request) -> Reply:
    try:
        return Reply(work(*request.arguments), None, _held_bytes())
    except Exception as error:
        return Reply(None, error, _held_bytes())


def _send(replies: BinaryIO, reply: Reply) -> None:
    if reply.error is not None:
        try:
            pickle.loads(pickle.dumps(reply.error))
        except Exception:
            # An error of a kind that does not travel is told by its kind and its text.
            told = RuntimeError(f"{type(reply.error).__name__}: {reply.error}")
            reply = Reply(None, told, reply.held_bytes)
    write_frame(replies, reply)


@contextmanager
def _ended_with_the_pipe(requests: BinaryIO) -> Iterator[None]:
    """Has the kernel end this process where its server dies, whatever it computes meanwhile.

    Nothing is sent while it works, so that the pipe's signal means its end. A thread that waits
    for that end would not run: some of the work never lets go of the interpreter's lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows: it ends when its work does.
        yield
        return
    flags = fcntl.fcntl(requests, fcntl.F_GETFL)
    with suppress(OSError):
        fcntl.fcntl(requests, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(requests, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([requests], [], [], 0)[0]:
        sys.exit()  # It died before.
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.fcntl(requests, fcntl.F_SETFL, flags)


def _held_bytes() -> int:
    """The memory that this process has now.

    Not the most that it ever had: on Linux that counts what the server had when it started this.
    """
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    main()
