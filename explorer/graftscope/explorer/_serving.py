"""Running the gateway until it is interrupted."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from graftscope.explorer._door import Door
from graftscope.explorer._gateway import gateway
from graftscope.explorer._photographs import MOST_BYTES
from graftscope.explorer._way import Way

_MESSAGE_BYTES = 4 * MOST_BYTES // 3 + (1 << 20)
"""The longest message of a page: a photograph in base64."""

_MOST_CONNECTIONS = 512

_LAST_WORDS_S = 3


async def serve(
    door: Door,
    listener: socket.socket,
    on_ready: Callable[[str], None],
    way: Way = Way(),
    stop: asyncio.Event | None = None,
) -> None:
    """Serve the page until the process is interrupted, or told to stop.

    Args:
        door: Who is let in.
        listener: Where to listen, as `listening` gives it.
        on_ready: Hears the address that opens the page.
        way: To the service, for those who go there without the page.
        stop: Ends it; None where only an interruption does.
    """
    config = uvicorn.Config(
        gateway(door, way),
        http="h11",
        ws="websockets-sansio",
        ws_max_size=_MESSAGE_BYTES,
        # Pictures do not shrink, and what stays on this machine need not.
        ws_per_message_deflate=False,
        limit_concurrency=_MOST_CONNECTIONS,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Whatever a proxy says of its clients is not looked at: there is none.
        proxy_headers=False,
        timeout_graceful_shutdown=_LAST_WORDS_S,
    )
    config.load()
    config.ssl = door.tls
    server = _Server(config, lambda: on_ready(door.address))
    stopping = asyncio.create_task(_stopped(server, stop))
    try:
        await server.serve(sockets=[listener])
    finally:
        stopping.cancel()


def reached_at(listener: socket.socket) -> str:
    """Say by which HOST:PORT a listener is reached."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(uvicorn.Server):
    """Tells when it answers, and takes an interruption for its end and for nothing more."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at the first signal, and at once at the second; the base raises them again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


async def _stopped(server: uvicorn.Server, stop: asyncio.Event | None) -> None:
    if stop is not None:
        await stop.wait()
        server.should_exit = True
