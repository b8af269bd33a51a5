"""Spans of calls, jobs and runs as OpenTelemetry's, sent to a collector by OTLP.

The only module of the server that knows OpenTelemetry, which is an extra. Where spans go, how many
are kept and what the service is called is said by the variables of its specification (OTEL_…).
"""

import threading
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import cast

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Link,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from graftscope.server.errors import InvalidInput
from graftscope.server.logs import get_logger
from graftscope.server.spans import UNTOLD, Fact, Span, Untold

SERVICE = "graftscope"
"""What the service is called where no variable says so."""

_PREFIX = "graftscope."
_MOST_PARTS = 256
"""Of a span; a long exploration or job has more. How many were left out is told of it."""

_DEFAULT_PLACE = "http://localhost:4317"

_LAST_S = 2.0
"""For what is not sent yet when the server ends."""

_log = get_logger("telemetry")

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Begins spans, and sends those that are over.

    Args:
        exporter: sends them.
        place: where to, for people.

    Attributes:
        place: as given.
        service: what the service is called.
        root: what jobs that no call started are begun under.
    """

    def __init__(self, exporter: SpanExporter, place: str = "") -> None:
        resource = _resource()
        self.place, self.service = place, str(resource.attributes[SERVICE_NAME])
        # The server ends it, and in time.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("graftscope.server", _version())
        self.root: Span = _Root(self._tracer)

    @classmethod
    def to_collector(cls, environment: Mapping[str, str]) -> "Tracing":
        """Sends to where the variables say, or to a collector on this machine.

        Raises:
            InvalidInput: they ask for what there is not.
        """
        for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if (protocol := environment.get(name, "grpc")) != "grpc":
                raise InvalidInput(
                    f"{name} {protocol!r} is not allowed: it must be grpc, which collectors take at"
                    " port 4317",
                    field="traces",
                )
        if (exporter := environment.get("OTEL_TRACES_EXPORTER", "otlp")) != "otlp":
            raise InvalidInput(
                f"OTEL_TRACES_EXPORTER {exporter!r} is not allowed: it must be otlp; or serve with"
                " --traces off",
                field="traces",
            )
        place = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get(
            "OTEL_EXPORTER_OTLP_ENDPOINT", _DEFAULT_PLACE
        )
        return cls(OTLPSpanExporter(), place)

    def opened(self, method: str, told: Mapping[str, str]) -> Span:
        """The span of a call, which goes on from its caller's where that traces.

        Args:
            method: the method's path.
            told: the call's metadata.
        """
        parent = _propagator.extract(told, Context()) if "traceparent" in told else Context()
        service, _, name = method.lstrip("/").rpartition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        return _Traced(
            self._tracer,
            self._tracer.start_span(
                method.lstrip("/"), parent, kind=SpanKind.SERVER, attributes=attributes
            ),
        )

    def close(self) -> None:
        """Sends what is left; a collector that does not answer does not keep the server."""
        sending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        sending.start()
        sending.join(_LAST_S)
        if sending.is_alive():
            _log.warning("the last traces were not taken", to=self.place, within_s=_LAST_S)


class _Traced:
    """As `Span`."""

    def __init__(self, tracer: Tracer, span: OtelSpan) -> None:
        self._tracer, self._span = tracer, span
        self._is_sampled = span.get_span_context().trace_flags.sampled
        self._parts = 0

    @property
    def trace(self) -> str:
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def link(self) -> Link:
        """What names it elsewhere."""
        return Link(self._span.get_span_context())

    def note(self, **facts: Fact) -> None:
        self._span.set_attributes(_attributes(facts))

    def record(
        self,
        name: str,
        began_ns: int,
        ended_ns: int,
        *,
        links: Sequence[Span] = (),
        **facts: Fact,
    ) -> None:
        if self._is_full():
            return
        others = [span.link for span in links if isinstance(span, _Traced)]
        part = self._tracer.start_span(
            name,
            set_span_in_context(self._span, Context()),
            attributes=_attributes(facts),
            links=others,
            start_time=began_ns,
        )
        part.end(ended_ns)

    def begin(self, name: str, **facts: Fact) -> Span:
        if self._is_full():
            return UNTOLD
        context = set_span_in_context(self._span, Context())
        part = self._tracer.start_span(name, context, attributes=_attributes(facts))
        return _Traced(self._tracer, part)

    def begin_apart(self, name: str, **facts: Fact) -> Span:
        apart = _begun_apart(self._tracer, name, facts, [self.link])
        self._span.add_link(apart.link.context)
        return apart

    def end(self, error: str = "") -> None:
        if self._is_sampled and self._parts > _MOST_PARTS:
            self.note(parts_left_out=self._parts - _MOST_PARTS)
        if error:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()

    def _is_full(self) -> bool:
        """Whether a part more is left out."""
        self._parts += 1
        return not self._is_sampled or self._parts > _MOST_PARTS


class _Root(Untold):
    """Under which jobs begin that no call has started; no span of its own."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin_apart(self, name: str, **facts: Fact) -> Span:
        return _begun_apart(self._tracer, name, facts, [])


def _begun_apart(
    tracer: Tracer, name: str, facts: Mapping[str, Fact], links: Sequence[Link]
) -> _Traced:
    """A span that is a trace of its own."""
    span = tracer.start_span(name, Context(), attributes=_attributes(facts), links=links)
    return _Traced(tracer, span)


def _attributes(facts: Mapping[str, Fact]) -> dict[str, AttributeValue]:
    """Facts by names of ours; those with a dot are of OpenTelemetry's conventions."""
    return {name if "." in name else _PREFIX + name: fact for name, fact in facts.items()}


def _resource() -> Resource:
    """Who tells: the variables' word counts, and a name of our own where they say none."""
    said = Resource.create({SERVICE_VERSION: _version()})
    name = cast(str, said.attributes[SERVICE_NAME])
    if name.startswith("unknown_service"):
        return said.merge(Resource({SERVICE_NAME: SERVICE}))
    return said


def _version() -> str:
    return metadata.version("graftscope")
