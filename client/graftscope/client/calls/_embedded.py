"""The server that a client starts for itself where no address is given.

The only place of the library that imports another room, and only when it is asked to.
"""

import gc
import importlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from weakref import WeakSet

from graftscope.client.arrays import file_name, listed, text, whole_number
from graftscope.client.calls._access import Access, Way
from graftscope.client.calls._addresses import proxy_to
from graftscope.client.calls._environment import ADDRESS_VARIABLE, check_environment
from graftscope.client.calls._forks import embedded_server_lives_here, refuse_stranded
from graftscope.client.calls._sync import SyncDriver
from graftscope.client.errors import (
    GraftscopeError,
    InputError,
    MissingExtraError,
    NotFoundError,
    UsageError,
)
from graftscope.client.wire import error_class

DEVICES = ("cpu", "cuda")
"""Where an embedded server can compute."""

_OF_EMBEDDED = ("bundles", "device", "workers", "state")
"""What another server has chosen for itself."""

_log = logging.getLogger("graftscope.client")


def import_room(name: str, extra: str) -> ModuleType:
    """Import another part of Graftscope.

    Args:
        name: Such as ``graftscope.server``.
        extra: The extra that brings what it needs.

    Returns:
        The module.

    Raises:
        MissingExtraError: If it, or something that it needs, is not installed.
        ImportError: If it is installed, but damaged.
    """
    try:
        with _uncollected():
            room = importlib.import_module(name)
            for each in getattr(room, "__all__", ()):
                # A room may import what it offers when that is first asked for.
                getattr(room, each)
        return room
    except ImportError as error:
        if _is_inside_a_room(error):
            raise
        if isinstance(error, ModuleNotFoundError):
            raise MissingExtraError(
                f"{name} needs {error.name}, which is not installed;"
                f" install it with: pip install 'graftscope[{extra}]'"
            ) from error
        # A room that checks for itself what it needs says it in its own words.
        raise MissingExtraError(" ".join(str(error).split())) from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for garbage: modules are none, and looking takes a tenth of their time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _is_inside_a_room(error: ImportError) -> bool:
    """Whether a part of an installed room is missing, which no extra brings: that is a bug."""
    package, *inside = (error.name or "").split(".")
    whole_room = len(inside) == 1 and isinstance(error, ModuleNotFoundError)
    return package == "graftscope" and not whole_room


@contextmanager
def translated(room: str) -> Iterator[None]:
    """Turn what another room refuses into this room's errors; what it did not foresee passes.

    Args:
        room: Prefix of the modules whose errors are meant, such as ``graftscope.``.
    """
    try:
        yield
    except GraftscopeError:
        raise
    except Exception as error:
        foreseen = foreign_error(error, room)
        if foreseen is None:
            raise
        raise foreseen from error


def foreign_error(error: Exception, room: str = "graftscope.") -> GraftscopeError | None:
    """Find this room's error for another room's, None for what that room did not foresee."""
    if not type(error).__module__.startswith(room):
        return None
    reason = getattr(error, "reason", "")
    kind = error_class(None, reason) if reason else GraftscopeError
    for base, mine in (
        (ImportError, MissingExtraError),
        (LookupError, NotFoundError),
        (ValueError, InputError),
    ):
        if kind is GraftscopeError and isinstance(error, base):
            kind = mine
    return kind(" ".join(str(error).split()), reason=reason, field=getattr(error, "field", ""))


_open_drivers: WeakSet[SyncDriver] = WeakSet()


def close_at_exit(driver: SyncDriver) -> None:
    """Close the way to an embedded server at the end of the program, if nobody has closed it.

    A thread that waits for a job of that server would otherwise look for the server for a while.
    """
    _open_drivers.add(driver)


def _close_drivers() -> None:
    for driver in tuple(_open_drivers):
        driver.close()


# Before Python waits for threads, which `atexit` comes after; there is no public way to say this.
threading._register_atexit(_close_drivers)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class ServerChoice:
    """Which server a client speaks to.

    Args:
        address: HOST:PORT; None for the environment variable GRAFTSCOPE_SERVER, or else an
            embedded server.
        bundles: Bundles of the embedded server; None for those that come with the package.
        workers: How many runs go on side by side in it; None for one a core.
        device: Where it computes: cpu or cuda; None for cpu.
        state: Folder where it keeps jobs and results; None for its own choice.
        access: What the client shows to another server, and how it knows that.

    What of the embedded server is None, variables such as GRAFTSCOPE_DEVICE may set.
    """

    address: str | None = None
    bundles: Sequence[str | Path] | None = None
    workers: int | None = None
    device: str | None = None
    state: str | Path | None = None
    access: Access = Access()

    def resolved(self) -> "ServerChoice":
        """Take the address from the environment where neither it nor bundles were given.

        Raises:
            InputError: If the number of workers or the device is not allowed.
            UsageError: If something is given that only a server inside this process has, and
                another is named; or if an environment variable is misspelt.
        """
        self._check_kinds()
        check_environment()
        self.refuse_idle()
        if self.workers is not None:
            whole_number("workers", self.workers, low=1, high=256)
        if self.device is not None and self.device not in DEVICES:
            allowed = ", ".join(DEVICES)
            raise InputError(f"device {self.device!r} is unknown; there are: {allowed}")
        address = self._named()[0]
        if address is None and self.access.is_given:
            given = "token" if self.access.token is not None else "tls"
            raise UsageError(
                f"`{given}` is for another server, and none is named: name it with `address` or"
                f" {ADDRESS_VARIABLE}"
            )
        return replace(self, address=address)

    def _check_kinds(self) -> None:
        """Refuse what is no text, no path or no list of paths."""
        if self.address is not None and not text("address", self.address).strip():
            raise InputError(
                f"address {self.address!r} is empty; HOST:PORT is needed, or None for a server "
                "inside this process",
                field="address",
            )
        for path in listed("bundles", () if self.bundles is None else self.bundles):
            file_name(path)
        if self.device is not None:
            text("device", self.device)
        if self.state is not None:
            file_name(self.state)

    def refuse_idle(self, called: Callable[[str], str] = "`{}`".format) -> None:
        """Refuse what cannot act: only a server inside this process takes it, and another is meant.

        Args:
            called: What a field is called where it was given.

        Raises:
            UsageError: If there is something.
        """
        address, by = self._named()
        given = [name for name in _OF_EMBEDDED if getattr(self, name) is not None]
        if address is None or not given:
            return
        verb, them = ("is", "it") if len(given) == 1 else ("are", "them")
        if by == "address":
            by = called(by)
            way_out = f"leave out {them}, or {by}"
        else:
            way_out = f"leave {them} out, unset {by}, or name bundles with {called('bundles')}"
        raise UsageError(
            f"{', '.join(map(called, given))} {verb} of a server inside this process, and {by}"
            f" names another, {address!r}: {way_out}"
        )

    def _named(self) -> tuple[str | None, str]:
        """The address of another server, and what names it.

        What is given counts for more than the environment, bundles too.
        """
        if self.address or self.bundles is not None:
            return self.address or None, "address"
        return os.environ.get(ADDRESS_VARIABLE) or None, ADDRESS_VARIABLE


@dataclass(frozen=True)
class Reached:
    """A server that answers.

    Args:
        way: To it.
        keeps_results: Whether its jobs and results outlive the client; False for an embedded
            server whose state folder is temporary.
    """

    way: Way
    keeps_results: bool = True


@contextmanager
def reached(choice: ServerChoice) -> Iterator[Reached]:
    """Give the server; where it is an embedded one, it runs as long as this lasts.

    What the embedded server has to say is logged as a warning.

    Raises:
        InputError: If the address is not one, or a bundle or a certificate is damaged.
        NotFoundError: If a bundle is not there.
        MissingExtraError: If the server is not installed.
        UsageError: If a token would be sent in the clear.
    """
    if choice.address:
        refuse_stranded()
        way = choice.access.to(choice.address)
        if proxy := proxy_to(way.address):
            _log.warning("the server at %s is reached %s", way.address, proxy)
        yield Reached(way)
        return
    server = import_room("graftscope.server", "server")
    notices: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(embedded_server_lives_here())
        with translated("graftscope."):
            embedded = server.embedded_server(
                bundles=None if choice.bundles is None else [Path(each) for each in choice.bundles],
                workers=choice.workers,
                device=choice.device,
                state=Path(choice.state) if choice.state else None,
                # It has one thing to say: that a temporary folder stands in for the default one.
                on_notice=notices.append,
            )
            address = stack.enter_context(embedded)
        for notice in notices:
            _log.warning("%s", notice)
        yield Reached(Way(address), keeps_results=not notices)
