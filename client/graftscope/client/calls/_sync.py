"""Performs flows one step after the other, on a synchronous channel."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import Message

from graftscope.client.calls._access import Metadata, Way
from graftscope.client.calls._attending import attended
from graftscope.client.calls._channel import Stubs, closed, deadline
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
from graftscope.client.calls._forks import refuse_fork, this_process
from graftscope.client.calls._peer import Peer
from graftscope.client.calls._retries import Retries
from graftscope.client.calls._spans import CallSpan, begin_call, called
from graftscope.client.errors import GraftscopeError
from graftscope.client.values import Job, ProgressCallback

T = TypeVar("T")

_CLOSE_LIMIT_S = 2.0

PARTING_S = 1.0
"""For the end of a stream that is over on both sides, which takes one way there and back."""


class SyncDriver:
    """A channel to one server, and what performs flows on it.

    Args:
        way: To the server.
        timeout_s: For every call with one reply; None for none.
    """

    def __init__(self, way: Way, timeout_s: float | None) -> None:
        self._timeout_s = deadline(timeout_s)
        self._way = way
        self._closed = False
        self._ranges: Ranges = {}
        self._peer = Peer(way.address, ca_given=way.names_ca)
        self._connect()

    def _connect(self) -> None:
        self._process = this_process()
        self._channel = self._way.channel()
        self._stubs = Stubs.on(self._channel)

    def close(self) -> None:
        """Close the channel, if it is this process's."""
        if self._process != this_process():
            return
        self._closed = True
        # gRPC waits for its open calls, and one whose start was interrupted never ends.
        closing = threading.Thread(target=self._channel.close, daemon=True)
        closing.start()
        closing.join(_CLOSE_LIMIT_S)

    @property
    def server_version(self) -> str:
        """The server's version, as far as its replies have told; '' before."""
        return self._peer.version

    def run(self, flow: Flow[T], on_job: Callable[[Job], None] | None = None) -> T:
        """Perform a flow to its end.

        Args:
            flow: The flow.
            on_job: Hears of the state of the job that the flow follows.

        Returns:
            What the flow came to.
        """
        jobs = self.iterate(flow)
        while True:
            try:
                job = next(jobs)
            except StopIteration as stop:
                return cast(T, stop.value)
            if on_job is not None:
                on_job(job)

    def follow(self, flow: Flow[T], on_progress: ProgressCallback | None) -> T:
        """Perform a flow that follows a job, and have its progress heard of."""
        with attended(on_progress) as take:
            return self.run(flow, take)

    def duplex(self, name: str, method: Callable[[Stubs], Any]) -> "SyncDuplex":
        """Open a stream of requests and replies.

        Args:
            name: The method's, for messages.
            method: Finds it among the stubs.
        """
        self._check()
        return SyncDuplex(name, method(self._stubs), self._peer, self._way.metadata)

    def _check(self) -> None:
        """Refuse what cannot be called any more; connect again in a process of its own."""
        if self._process != this_process():
            refuse_fork(self._process)
            self._connect()
        if self._closed:
            raise closed()

    def iterate(self, flow: Flow[T]) -> Generator[Job, None, T]:
        """Perform a flow, giving the states of the job that it follows as they come."""
        self._check()
        performer = _Performer(
            self._stubs, self._peer, self._timeout_s, self._way.metadata, self._ranges
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
                    value = performer.perform(step)
                except GraftscopeError as failure:
                    error = failure
            return step.value
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

    def perform(self, step: Call | Open | Receive | Sleep | Recall) -> Message | Ranges | None:
        match step:
            case Call():
                return self._call(step)
            case Open():
                self.close()
                method: Any = step.method(self._stubs)
                self._span = begin_call(step.name, self._metadata)
                self._stream, self._stream_name = (
                    method(step.request, metadata=self._span.metadata),
                    step.name,
                )
            case Receive():
                return self._receive()
            case Recall():
                return self._ranges
            case Sleep():
                time.sleep(step.seconds)
        return None

    def close(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
        self._span.end()

    def _call(self, step: Call) -> Message:
        if not step.limited:  # Its requests are gone once they were sent: the flow begins again.
            return self._try(step, None)
        retries = Retries(self._timeout_s)
        while True:
            try:
                return self._try(step, retries.left_s)
            except GraftscopeError as error:
                time.sleep(retries.wait_s(error))

    def _try(self, step: Call, timeout_s: float | None) -> Message:
        method: Any = step.method(self._stubs)
        with called(step.name, self._metadata) as metadata:
            try:
                reply, call = method.with_call(step.request, timeout=timeout_s, metadata=metadata)
            except grpc.RpcError as error:
                raise self._peer.error(cast(Any, error), step.name) from error
        self._peer.heard(call.initial_metadata(), call.trailing_metadata())
        return cast(Message, reply)

    def _receive(self) -> Message | None:
        try:
            reply = next(cast(Iterator[Message], self._stream), None)
        except grpc.RpcError as error:
            failure = self._peer.error(cast(Any, error), self._stream_name)
            self._span.end(failure)
            raise failure from error
        self._peer.heard(self._stream.initial_metadata())
        return reply


class SyncDuplex:
    """An open stream in both directions.

    Args:
        name: The method's, for messages.
        method: The method.
        peer: Explains errors.
        metadata: Of the call.
    """

    def __init__(self, name: str, method: Any, peer: Peer, metadata: Metadata) -> None:
        self._name, self._peer = name, peer
        self._requests: SimpleQueue[Message | None] = SimpleQueue()
        self._span = begin_call(name, metadata)
        self._call: Any = method(iter(self._requests.get, None), metadata=self._span.metadata)

    def send(self, request: Message) -> None:
        """Send a request, without waiting for anything."""
        self._requests.put(request)

    def receive(self) -> Message | None:
        """Wait for the next reply; returns it, or None at the end."""
        try:
            reply: Message | None = next(self._call, None)
        except grpc.RpcError as error:
            raise self._peer.error(cast(Any, error), self._name) from error
        self._peer.heard(self._call.initial_metadata())
        return reply

    def close(self, *, answered: bool) -> None:
        """End the stream.

        Args:
            answered: Whether nothing is underway, so that the server ends it at once; else what is
                underway is dropped.
        """
        self._requests.put(None)
        ended = threading.Event()
        if answered and self._call.add_callback(ended.set):
            ended.wait(PARTING_S)
        self._call.cancel()
        self._span.end()
