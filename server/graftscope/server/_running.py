"""A server for as long as it is wanted: until it is told to stop, or while a block lasts."""

import asyncio
import gc
import os
import queue
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from graftscope.server._descriptors import raise_descriptor_limit
from graftscope.server._server import running_server
from graftscope.server.errors import StateInUse
from graftscope.server.logs import get_logger, log_to_stderr
from graftscope.server.settings import Settings, make_settings

_UNPROTECTED: dict[str, object] = {
    "auth": "none",
    "traces": "off",
    **dict.fromkeys(("tls_cert", "tls_key", "tls_client_ca", "health", "metrics")),
}
"""Of an embedded server, which no other machine reaches and the program's own spans tell of,
whatever the environment says."""

EMBEDDED_GRACE_S = 2.0
"""Of a server inside a program, whose own calls are over."""

# For threads that end, and files that are closed, once nothing is left to wait for.
_AFTER_GRACE_S = 1.0

_log = get_logger("server")

_RUNNING: dict[threading.Thread, threading.Event] = {}
"""Embedded servers' threads, and what ends each."""


def _end_all() -> None:
    """Ends the servers that nobody has ended, at the end of the program."""
    for thread, stop in tuple(_RUNNING.items()):
        stop.set()
        thread.join()


# At its end Python waits for threads, and a server's ends only when it is told to. `atexit` comes
# after that wait. What is registered here comes before it, and before executors refuse work, which
# a server that puts its jobs away still has for them: they registered earlier, so they are called
# later. There is no public way to say this.
threading._register_atexit(_end_all)  # type: ignore[attr-defined]


def serve(settings: Settings, on_ready: Callable[[str], None] = lambda address: None) -> None:
    """Serves until SIGINT, SIGTERM or SIGHUP; a second one ends the process at once.

    At the first the server takes on nothing more, lets calls finish, and puts its jobs away, for
    another server or its own next start, within `settings.grace_s`.

    Args:
        settings: what is served, where and how.
        on_ready: called with HOST:PORT once calls are answered.

    Raises:
        ServerError: a missing folder, device or port, or a state folder in use.
        BundleError: a damaged bundle.
    """
    log_to_stderr(settings.log_level, settings.log_format)
    raise_descriptor_limit()
    ended = threading.Event()
    try:
        asyncio.run(_until_told(settings, on_ready, ended))
    finally:
        ended.set()


@contextmanager
def embedded_server(
    bundles: Sequence[Path] | None = None,
    *,
    workers: int | None = None,
    device: str | None = None,
    state: Path | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """Serves in a thread of its own, through the same gRPC code as any server.

    Results are kept, so that the same question is answered at once the next time. Where another
    server holds the default folder, a temporary one stands in.

    Args:
        bundles: folders of bundles; those that ship with the package by default.
        workers: single-threaded runs side by side; all cores by default.
        device: cpu or cuda; cpu by default.
        state: folder of jobs and arrays; the user's own by default.
        on_notice: told in one line where nothing will be kept.

    Yields:
        HOST:PORT.

    Raises:
        ServerError: a missing folder or device, or a given state folder that is in use.
        BundleError: a damaged bundle.
    """
    # What is not given, the environment may set, as that of any server.
    given = {"bundles": bundles, "workers": workers, "device": device, "state": state}
    settings = make_settings(
        listen="127.0.0.1:0",
        resume=False,
        grace_s=EMBEDDED_GRACE_S,
        **_UNPROTECTED,
        **{name: value for name, value in given.items() if value is not None},
    )
    try:
        with _in_thread(settings) as address:
            yield address
            return
    except StateInUse:
        if state is not None:
            raise
    if on_notice is not None:
        on_notice(
            f"another server or command holds the state folder {str(settings.state)!r}: what is "
            "asked here is answered, but analyses are not kept for later; wait for that one, ask "
            "it if it is a server, or name another state folder"
        )
    with _temporary_folder() as folder:
        elsewhere = settings.model_copy(update={"state": folder, "jobs_url": None})
        with _in_thread(elsewhere) as address:
            yield address


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end, by the process that made it and by no child of it."""
    folder, mine = tempfile.mkdtemp(prefix="graftscope-"), os.getpid()
    try:
        yield Path(folder)
    finally:
        if os.getpid() == mine:
            shutil.rmtree(folder)


@contextmanager
def _in_thread(settings: Settings) -> Iterator[str]:
    started: queue.Queue[str | Exception] = queue.Queue()
    stop = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve_until_set(settings, started, stop)),
        name="graftscope-server",
    )
    thread.start()
    _RUNNING[thread] = stop
    try:
        answer = started.get()
        if isinstance(answer, Exception):
            raise answer
        yield answer
    finally:
        stop.set()
        thread.join()
        _RUNNING.pop(thread, None)


async def _serve_until_set(
    settings: Settings, started: "queue.Queue[str | Exception]", stop: threading.Event
) -> None:
    try:
        async with running_server(settings) as address:
            started.put(address)
            await asyncio.to_thread(stop.wait)
    except Exception as error:
        started.put(error)


async def _until_told(
    settings: Settings, on_ready: Callable[[str], None], ended: threading.Event
) -> None:
    with _told() as told:
        async with running_server(settings) as address:
            # What is loaded stays: without it a full collection takes milliseconds, and not 100.
            gc.freeze()
            on_ready(address)
            await told.wait()
            _log.info("stopping", grace_s=settings.grace_s)
            _end_anyway(settings.grace_s + _AFTER_GRACE_S, ended)


@contextmanager
def _told() -> Iterator[asyncio.Event]:
    """Set by the first signal to stop; the next one ends the process as if nobody listened."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    before = {each: signal.getsignal(each) for each in _signals()}

    def stop(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        loop.call_soon_threadsafe(told.set)

    for each in before:
        signal.signal(each, stop)
    try:
        yield told
    finally:
        if not told.is_set():
            for each, handler in before.items():
                signal.signal(each, handler)


def _signals() -> list[signal.Signals]:
    """Those that tell a server to stop, but for what `nohup` has made it deaf to."""
    found = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")]
    return [x for x in found if x is not None and signal.getsignal(x) is not signal.SIG_IGN]


def _end_anyway(after_s: float, ended: threading.Event) -> None:
    """Ends the process where something holds on to it that nothing can stop."""

    def wait() -> None:
        if not ended.wait(after_s):
            _log.error("ended without what could not be stopped", after_s=after_s)
            os._exit(1)

    threading.Thread(target=wait, name="last resort", daemon=True).start()
