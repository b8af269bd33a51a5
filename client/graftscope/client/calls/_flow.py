"""Sequences of calls, written once for both clients.

A flow is a generator that yields steps and is sent what they give; errors of a step are raised
at its `yield`. `Client` performs the steps one after the other, `AsyncClient` awaits them. Flows
must not know which of the two drives them.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import Message

from graftscope.client.calls._channel import Stubs
from graftscope.client.errors import GraftscopeError
from graftscope.client.values import Job

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """Make a call with one reply; gives the reply."""

    name: str
    method: Callable[[Stubs], object]
    request: Message | Iterator[Message]
    limited: bool


@dataclass(frozen=True)
class Open:
    """Open a stream of replies. A flow has one at a time: opening the next one ends the last."""

    name: str
    method: Callable[[Stubs], object]
    request: Message


@dataclass(frozen=True)
class Receive:
    """Wait for the open stream's next reply; gives it, or None at the end."""


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Recall:
    """Give what the client keeps from call to call: the range of each model's images, by digest."""


@dataclass(frozen=True)
class Tell:
    """Hand the state of a job to whoever follows it."""

    job: Job


Step: TypeAlias = Call | Open | Receive | Sleep | Recall | Tell
Ranges: TypeAlias = dict[str, tuple[float, ...]]
Flow: TypeAlias = Generator[Step, object, T]


@dataclass(frozen=True)
class Finished(Generic[T]):
    """What a flow came to."""

    value: T


def resume(flow: Flow[T], value: object, error: GraftscopeError | None) -> Step | Finished[T]:
    """Take a flow to its next step, with what the last one gave, or the error that it met."""
    try:
        return flow.throw(error) if error else flow.send(value)
    except StopIteration as stop:
        return Finished(stop.value)


def call(
    method: "Callable[[Stubs], grpc.UnaryUnaryMultiCallable[Request, Reply]]", request: Request
) -> Flow[Reply]:
    """Send one request, within the client's timeout; returns the reply."""
    return cast(Reply, (yield Call(_name(request), method, request, limited=True)))


def send(
    name: str,
    method: "Callable[[Stubs], grpc.StreamUnaryMultiCallable[Request, Reply]]",
    requests: Iterator[Request],
) -> Flow[Reply]:
    """Send many requests, however long that takes; returns the one reply."""
    return cast(Reply, (yield Call(name, method, requests, limited=False)))


def open_stream(
    method: "Callable[[Stubs], grpc.UnaryStreamMultiCallable[Request, Reply]]", request: Request
) -> Flow["Stream[Reply]"]:
    """Send one request, and get ready to receive its replies."""
    yield Open(_name(request), method, request)
    return Stream()


def _name(request: Message) -> str:
    """Name a method after its request, as the contract does."""
    return type(request).__name__.removesuffix("Request")


class Stream(Generic[Reply]):
    """The open stream of a flow, with the type of its replies."""

    def receive(self) -> Flow[Reply | None]:
        """Wait for the next reply; returns it, or None at the end."""
        return cast(Reply | None, (yield Receive()))
