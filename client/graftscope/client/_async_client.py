"""The asynchronous client: as `Client`, method by method, for programs with an event loop."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from graftscope.client._async_methods import AsyncMethods
from graftscope.client.calls import (
    DEFAULT_TIMEOUT_S,
    Access,
    AsyncDriver,
    GivenTLS,
    Reached,
    ServerChoice,
    Way,
    reached,
    refuse_pickling,
)
from graftscope.client.errors import UsageError


class AsyncClient(AsyncMethods):
    """Speaks to a Graftscope server from an event loop; see `Client`.

    Usage::

        async with AsyncClient("localhost:50051") as client:
            maps = await client.influence("vae-celeba", "intermediate", pairs=200)

    It connects, or starts its embedded server, when it is entered.

    Args:
        address: As of `Client`, and so are the others.
        bundles: Bundle folders of the embedded server.
        workers: Runs side by side in the embedded server.
        device: Where the embedded server computes.
        state: Folder for the embedded server's jobs and results.
        timeout_s: Seconds that a call may take; None for no limit.
        token: Who the client is, for a server that asks.
        tls: How it knows the server.

    Raises:
        UsageError: If both address and bundles are given.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        bundles: Sequence[str | Path] | None = None,
        workers: int | None = None,
        device: str | None = None,
        state: str | Path | None = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        token: str | None = None,
        tls: GivenTLS = None,
    ) -> None:
        self._choice = ServerChoice(
            address, bundles, workers, device, state, Access(token, tls)
        ).resolved()
        self._reach: Callable[[], AbstractContextManager[Reached]] = partial(reached, self._choice)
        self._timeout_s = timeout_s
        self._resources = AsyncExitStack()
        self._connected: AsyncDriver | None = None
        self.embedded = self._choice.address is None
        """Whether the server lives in this process."""
        self.address = self._choice.address or ""
        """HOST:PORT of the server; of an embedded one, empty until the client is entered."""
        self.keeps_results = True
        """As of `Client`, once the client is entered."""

    @classmethod
    def over(cls, way: Way, timeout_s: float | None) -> Self:
        """Make a client that goes the way of another one: with its token, to its server.

        Args:
            way: The other one's.
            timeout_s: Seconds that a call may take; None for no limit.
        """
        client = cls(way.address, timeout_s=timeout_s, tls=False)
        client._reach = lambda: nullcontext(Reached(way))
        return client

    def __repr__(self) -> str:
        """Tell whom it speaks to."""
        where = "a server inside this process" if self.embedded else self.address
        return f"<AsyncClient of {where}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied, and say what to do instead."""
        refuse_pickling(AsyncClient.__name__, self.address)

    async def __aenter__(self) -> Self:
        """Connect, and start the embedded server where there is no other."""
        async with AsyncExitStack() as stack:
            server = ExitStack()
            # Starting and ending a server takes its time, which the event loop must not wait for.
            found = await asyncio.to_thread(server.enter_context, self._reach())
            self.address, self.keeps_results = found.way.address, found.keeps_results
            stack.push_async_callback(asyncio.to_thread, server.close)
            self._connected = AsyncDriver(found.way, self._timeout_s)
            stack.push_async_callback(self._connected.close)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """Close the connection, and end the embedded server."""
        self._connected = None
        await self._resources.aclose()

    @property
    def _driver(self) -> AsyncDriver:  # type: ignore[override]  # read, never set
        if self._connected is None:
            raise UsageError(
                "the client is not connected: use `async with AsyncClient() as client`"
            )
        return self._connected
