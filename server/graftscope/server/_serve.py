"""A server that runs until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable

from graftscope.server._server import running_server
from graftscope.server.logs import log_to_stderr
from graftscope.server.settings import Settings


def serve(settings: Settings, on_ready: Callable[[str], None] = lambda address: None) -> None:
    """Serves until SIGINT or SIGTERM; jobs that go on are taken up at the next start.

    Args:
        settings: what is served, where and how.
        on_ready: called with HOST:PORT once calls are answered.

    Raises:
        ServerError: a missing folder, device or port, or a state folder in use.
        BundleError: a damaged bundle.
    """
    log_to_stderr(settings.log_level)
    asyncio.run(_until_told(settings, on_ready))


async def _until_told(settings: Settings, on_ready: Callable[[str], None]) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    async with running_server(settings) as address:
        on_ready(address)
        await told.wait()
