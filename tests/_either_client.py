"""One face for both clients, so that a test can hold for each of them."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from graftscope.client import AsyncClient, Client


class Blocking:
    """An asynchronous client whose methods wait, in an event loop of its own."""

    def __init__(self, client: AsyncClient, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        return self._waiting(value) if inspect.ismethod(value) else value

    def _waiting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            outcome = method(*arguments, **named)
            if inspect.isasyncgen(outcome):
                return self._runner.run(_collect(outcome))
            return self._runner.run(_await(outcome))

        return call


async def _collect(items: Any) -> list[Any]:
    return [item async for item in items]


async def _await(outcome: Any) -> Any:
    return await outcome


@contextmanager
def opened(kind: str, *arguments: Any, **named: Any) -> Iterator[Any]:
    """Open a `Client` (kind "sync"), or an `AsyncClient` (kind "async") that blocks like one."""
    if kind == "sync":
        with Client(*arguments, **named) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        other = AsyncClient(*arguments, **named)
        runner.run(other.__aenter__())
        try:
            yield Blocking(other, runner)
        finally:
            runner.run(other.close())
