"""Clients in forked processes: what goes on working there, and what is refused before it hangs.

A fork copies the memory of a process and one of its threads. gRPC lives in several; it can be made
anew in the child, if it was told so before it was first imported. So this module is imported before
gRPC. An embedded server cannot: its threads are in the parent.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from graftscope.client.errors import UsageError

_SWITCH: Final = "GRPC_ENABLE_FORK_SUPPORT"
_ADVICE: Final = (
    "start processes with multiprocessing.get_context('spawn') and make a client in each, or let"
    " all of them ask one server: `graftscope serve`, and Client('HOST:PORT') in each"
)

os.environ.setdefault(_SWITCH, "1")
_SUPPORTED: Final = "grpc" not in sys.modules or os.environ[_SWITCH] not in ("", "0")

_embedded: list[int] = []
"""Processes in which embedded servers run now: this one, once for each server."""


def this_process() -> int:
    """Return the number of the process that this is."""
    return os.getpid()


@contextmanager
def embedded_server_lives_here() -> Iterator[None]:
    """Take note that this process has an embedded server, as long as this lasts.

    Raises:
        UsageError: If this process was forked from one that had one.
    """
    refuse_stranded()
    mine = this_process()
    _embedded.append(mine)
    try:
        yield
    finally:
        # A child that leaves the block is as stranded as before.
        if mine == this_process():
            _embedded.remove(mine)


def refuse_stranded() -> None:
    """Refuse to call anybody where gRPC would crash or hang.

    Raises:
        UsageError: If this process was forked from one in which an embedded server ran.
    """
    mine = this_process()
    parent = next((each for each in _embedded if each != mine), None)
    if parent is not None:
        raise UsageError(
            f"process {mine} was forked from process {parent}, in which an embedded server ran,"
            f" and cannot speak to any server: {_ADVICE}"
        )


def refuse_fork(origin: int) -> None:
    """Refuse to go on with a connection of another process where that cannot be made anew.

    Args:
        origin: The process in which the connection was made.

    Raises:
        UsageError: If gRPC, or this process, does not allow it.
    """
    refuse_stranded()
    if not _SUPPORTED:
        raise UsageError(
            f"the client of process {origin} cannot be used in process {this_process()}, which "
            f"was forked from it: gRPC was imported before graftscope, without {_SWITCH}=1; set "
            f"that, or {_ADVICE}"
        )


def refuse_entered(origin: int) -> NoReturn:
    """Refuse to use an asynchronous client beyond its process, whose event loop it belongs to.

    Args:
        origin: The process in which it was entered.

    Raises:
        UsageError: Always.
    """
    refuse_stranded()
    raise UsageError(
        f"an AsyncClient entered in process {origin} cannot be used in process {this_process()}, "
        "which was forked from it: enter one there"
    )


def refuse_pickling(kind: str, address: str) -> NoReturn:
    """Say why a client cannot be pickled or copied.

    Args:
        kind: The name of its class.
        address: Of its server.

    Raises:
        UsageError: Always.
    """
    article = "an" if kind.startswith("A") else "a"
    mine = f" (this one's server is {address})" if address else ""
    raise UsageError(
        f"{article} {kind} cannot be pickled or copied, because it holds a connection: hand over"
        f" the address of a running server and make another {kind} there{mine}"
    )
