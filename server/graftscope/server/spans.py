"""What goes on and how long it takes, told to whoever traces it: the hook of engine and jobs.

A call or a job sets the span that it is; what runs for it tells what it did once it is done. By
default nobody listens, and to tell costs a look-up. Beside the log and the errors, since all of the
server tells: it must not know who listens (`telemetry` does), and nothing else of the server.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, Protocol, TypeAlias, TypeVar

_Arguments = ParamSpec("_Arguments")
_Value = TypeVar("_Value")

Fact: TypeAlias = str | int | float | bool
"""What is told of a span, by name."""


class Span(Protocol):
    """Something that takes a while. From any thread."""

    @property
    def trace(self) -> str:
        """The id of its trace, 32 hexadecimal digits; '' where nobody traces it."""

    def note(self, **facts: Fact) -> None:
        """Tells something of it."""

    def record(
        self,
        name: str,
        began_ns: int,
        ended_ns: int,
        *,
        links: "Sequence[Span]" = (),
        **facts: Fact,
    ) -> None:
        """Tells of a part of it that is over.

        Args:
            name: what was done.
            began_ns: when it began, in nanoseconds since 1970, as of `now_ns`.
            ended_ns: likewise, when it was over.
            links: of others, what the part was for too.
            facts: what is told of it.
        """

    def begin(self, name: str, **facts: Fact) -> "Span":
        """Begins a part of it, which `end` closes.

        Args:
            name: what is done.
            facts: what is told of it.
        """

    def begin_apart(self, name: str, **facts: Fact) -> "Span":
        """Begins what comes of it and may outlast it: a trace of its own; both name each other.

        Args:
            name: what is done.
            facts: what is told of it.
        """

    def end(self, error: str = "") -> None:
        """Closes it.

        Args:
            error: what went wrong; '' where nothing did.
        """


class Untold:
    """A span that nobody hears of, nor of its parts."""

    trace = ""

    def note(self, **facts: Fact) -> None:
        """Tells nobody."""

    def record(
        self,
        name: str,
        began_ns: int,
        ended_ns: int,
        *,
        links: Sequence[Span] = (),
        **facts: Fact,
    ) -> None:
        """Tells nobody."""

    def begin(self, name: str, **facts: Fact) -> Span:
        """Nobody hears of its parts either."""
        return self

    def begin_apart(self, name: str, **facts: Fact) -> Span:
        """Nor of what it begins apart."""
        return self

    def end(self, error: str = "") -> None:
        """Tells nobody."""


UNTOLD: Span = Untold()

_CURRENT: ContextVar[Span] = ContextVar("span", default=UNTOLD)

now_ns = time.time_ns
"""The clock of spans, which other machines' spans of a trace share."""


def current() -> Span:
    """The span of the call or job that goes on here.

    `asyncio.to_thread` takes it along, `run_in_executor` does not: ask before it.
    """
    return _CURRENT.get()


def enter(span: Span) -> None:
    """Makes this the current span for the rest of this task, and of what it starts."""
    _CURRENT.set(span)


@contextmanager
def part(name: str, **facts: Fact) -> Iterator[Span]:
    """A part of the current span, which is the current one for as long as the block lasts."""
    span = current().begin(name, **facts)
    before = _CURRENT.set(span)
    try:
        yield span
    except BaseException as error:
        span.end(type(error).__name__)
        raise
    else:
        span.end()
    finally:
        _CURRENT.reset(before)


def told(name: str, work: Callable[_Arguments, _Value]) -> Callable[_Arguments, _Value]:
    """Work that tells of itself as a part of what is the current span now, in whatever thread."""
    span = current()

    def telling(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Value:
        began_ns = now_ns()
        try:
            return work(*arguments, **named)
        finally:
            span.record(name, began_ns, now_ns())

    return telling
