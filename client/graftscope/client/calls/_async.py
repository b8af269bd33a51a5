"""Performs flows step after step, awaiting each, on an asynchronous channel."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeVar, cast

import grpc.aio
from google.protobuf.message import Message

from graftscope.client.calls._access import Metadata, Way
from graftscope.client.calls._attending import attended
from graftscope.client.calls._channel import Stubs, deadline
from graftscope.client.calls._flow import (
    Call,
    Finished,
    Flow,
    Open,
    Ranges,
    Recall,
    Receive,
    Sleep,
    Tell,
    resume,
)
from graftscope.client.calls._forks import refuse_entered, this_process
from graftscope.client.calls._peer import Peer
from graftscope.client.calls._retries import Retries
from graftscope.client.calls._spans import CallSpan, begin_call, called
from graftscope.client.calls._sync import PARTING_S
from graftscope.client.errors import GraftscopeError, UnavailableError
from graftscope.client.values import Job, ProgressCallback

T = TypeVar("T")

# Where a server ends a call whose requests are still being written, grpc.aio loses its status and
# says this instead.
_ENDED_WHILE_WRITING = "Internal error from Core"


class AsyncDriver:
    """A channel to one server, and what performs flows on it; made where an event loop runs.

    Args:
        way: To the server.
        timeout_s: For every call with one reply; None for none.
    """

    def __init__(self, way: Way, timeout_s: float | None) -> None:
        self._timeout_s = deadline(timeout_s)
        self._ranges: Ranges = {}
        self._peer = Peer(way.address, ca_given=way.names_ca)
        self._metadata = way.metadata
        self._process = this_process()
        self._channel = way.aio_channel()
        self._stubs = Stubs.on(self._channel)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def run(self, flow: Flow[T], on_job: Callable[[Job], None] | None = None) -> T:
        """Perform a flow to its end; as `SyncDriver.run`."""
        async with aclosing(self._perform(flow)) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, Finished):
                    return outcome.value
                if on_job is not None:
                    on_job(outcome)
        raise AssertionError("a flow ends by finishing")

    async def follow(self, flow: Flow[T], on_progress: ProgressCallback | None) -> T:
        """Perform a flow that follows a job; as `SyncDriver.follow`."""
        with attended(on_progress) as take:
            return await self.run(flow, take)

    def duplex(self, name: str, method: Callable[[Stubs], Any]) -> "AsyncDuplex":
        """Open a stream of requests and replies; as `SyncDriver.duplex`."""
        if self._process != this_process():
            refuse_entered(self._process)
        return AsyncDuplex(name, method(self._stubs), self._peer, self._metadata)

    async def iterate(self, flow: Flow[T]) -> AsyncGenerator[Job, None]:
        """Perform a flow, giving the states of the job that it follows as they come."""
        async with aclosing(self._perform(flow)) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, Job):
                    yield outcome

    async def _perform(self, flow: Flow[T]) -> AsyncGenerator[Job | Finished[T], None]:
        if self._process != this_process():
            refuse_entered(self._process)
        performer = _Performer(
            self._stubs, self._peer, self._timeout_s, self._metadata, self._ranges
        )
        value: object = None
        error: GraftscopeError | None = None
        try:
            while not isinstance(step := resume(flow, value, error), Finished):
                value = error = None
                if isinstance(step, Tell):
                    yield step.job
                    continue
                try:
                    value = await performer.perform(step)
                except GraftscopeError as failure:
                    error = failure
            yield step
        finally:
            performer.close()


class _Performer:
    """Performs the steps of one flow, which has one stream at a time."""

    def __init__(
        self,
        stubs: Stubs,
        peer: Peer,
        timeout_s: float | None,
        metadata: Metadata,
        ranges: Ranges,
    ) -> None:
        self._stubs, self._peer, self._timeout_s = stubs, peer, timeout_s
        self._metadata, self._ranges = metadata, ranges
        self._stream: Any = None
        self._stream_name = ""
        self._span = CallSpan(metadata)

    async def perform(
        self, step: Call | Open | Receive | Sleep | Recall
    ) -> Message | Ranges | None:
        match step:
            case Call():
                return await self._call(step)
            case Open():
                self.close()
                method: Any = step.method(self._stubs)
                self._span = begin_call(step.name, self._metadata)
                self._stream, self._stream_name = (
                    method(step.request, metadata=self._span.metadata),
                    step.name,
                )
            case Receive():
                return await self._receive()
            case Recall():
                return self._ranges
            case Sleep():
                await asyncio.sleep(step.seconds)
        return None

    def close(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
        self._span.end()

    async def _call(self, step: Call) -> Message:
        if not step.limited:  # Its requests are gone once they were sent: the flow begins again.
            return await self._try(step, None)
        retries = Retries(self._timeout_s)
        while True:
            try:
                return await self._try(step, retries.left_s)
            except GraftscopeError as error:
                await asyncio.sleep(retries.wait_s(error))

    async def _try(self, step: Call, timeout_s: float | None) -> Message:
        method: Any = step.method(self._stubs)
        with called(step.name, self._metadata) as metadata:
            call = method(step.request, timeout=timeout_s, metadata=metadata)
            try:
                reply = await call
            except grpc.aio.AioRpcError as error:
                if error.details() == _ENDED_WHILE_WRITING:
                    raise UnavailableError(f"the server broke off {step.name}") from error
                raise self._peer.error(cast(Any, error), step.name) from error
        self._peer.heard(await call.initial_metadata(), await call.trailing_metadata())
        return cast(Message, reply)

    async def _receive(self) -> Message | None:
        try:
            reply = await self._stream.read()
        except grpc.aio.AioRpcError as error:
            failure = self._peer.error(cast(Any, error), self._stream_name)
            self._span.end(failure)
            raise failure from error
        self._peer.heard(await self._stream.initial_metadata())
        return None if reply is grpc.aio.EOF else cast(Message, reply)


class AsyncDuplex:
    """An open stream in both directions; as `SyncDuplex`."""

    def __init__(self, name: str, method: Any, peer: Peer, metadata: Metadata) -> None:
        self._name, self._peer = name, peer
        self._span = begin_call(name, metadata)
        self._call: Any = method(metadata=self._span.metadata)

    async def send(self, request: Message) -> None:
        """Send a request."""
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream has ended: `receive` tells why.
            return

    async def receive(self) -> Message | None:
        """Wait for the next reply; returns it, or None at the end."""
        try:
            reply = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._peer.error(cast(Any, error), self._name) from error
        self._peer.heard(await self._call.initial_metadata())
        return None if reply is grpc.aio.EOF else cast(Message, reply)

    async def close(self, *, answered: bool) -> None:
        """End the stream; as `SyncDuplex.close`."""
        try:
            if answered:
                async with asyncio.timeout(PARTING_S):
                    await self._call.done_writing()
                    await self._call.code()
        except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # It is ended anyway.
        finally:
            self._call.cancel()
        self._span.end()
