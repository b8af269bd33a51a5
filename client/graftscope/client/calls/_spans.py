"""A span for each call, in a program that traces by OpenTelemetry.

Whether it does is seen from what it has imported: in one that does not, a call costs a look-up, and
nothing is imported. Where spans go is the program's to say, by its tracer provider.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from graftscope.client.calls._access import Metadata
from graftscope.client.version import client_version

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_API = "opentelemetry.trace"
_TRACER = "graftscope.client"


class CallSpan:
    """A call that goes on, for whoever traces it.

    Args:
        metadata: What the call brings along.
        span: What is told of it; None where nobody traces.

    Attributes:
        metadata: The same, with what the server goes on from.
    """

    def __init__(self, metadata: Metadata, span: "Span | None" = None) -> None:
        self.metadata = metadata if span is None else (*metadata, *_carried(span))
        self._span = span

    def end(self, error: Exception | None = None) -> None:
        """Close it; again does nothing."""
        if self._span is None:
            return
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            said = f"{type(error).__name__}: {error}"
            self._span.set_status(Status(StatusCode.ERROR, said))
        self._span.end()
        self._span = None


def begin_call(name: str, metadata: Metadata) -> CallSpan:
    """Begin a call's span, below the program's own that goes on.

    Args:
        name: The method's.
        metadata: What the call brings along.
    """
    if _API not in sys.modules:
        return CallSpan(metadata)
    from opentelemetry.trace import SpanKind, get_tracer

    span = get_tracer(_TRACER, client_version()).start_span(
        name, kind=SpanKind.CLIENT, attributes={"rpc.system": "grpc", "rpc.method": name}
    )
    # Without a provider there is none.
    return CallSpan(metadata, span if span.get_span_context().is_valid else None)


@contextmanager
def called(name: str, metadata: Metadata) -> Iterator[Metadata]:
    """Trace a call for as long as the block lasts; gives what it is to bring along."""
    span = begin_call(name, metadata)
    try:
        yield span.metadata
    except BaseException as error:
        span.end(error if isinstance(error, Exception) else None)
        raise
    span.end()


def _carried(span: "Span") -> Metadata:
    """The metadata by which the server goes on from a span, as W3C has them."""
    from opentelemetry.trace import set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, set_span_in_context(span))
    return tuple(carrier.items())
