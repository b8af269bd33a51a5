"""Waiting until something holds that nothing tells of: a process that ends, a count that falls."""

import asyncio
import time
from collections.abc import Callable

TIMEOUT_S = 30.0


def until(holds: Callable[[], bool], within_s: float = TIMEOUT_S) -> float:
    """How long it took until it held."""
    started_s = time.monotonic()
    while not holds():
        assert time.monotonic() - started_s < within_s
        time.sleep(0.005)
    return time.monotonic() - started_s


async def until_in_loop(holds: Callable[[], bool], within_s: float = TIMEOUT_S) -> None:
    """`until`, for what happens in the event loop."""
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.005)
