"""Traces from a client's program through the server to runs and jobs, as a collector has them."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from graftscope.server import make_settings
from graftscope.server._running import _in_thread
from graftscope.server.errors import InvalidInput
from graftscope.server.spans import current
from graftscope.server.telemetry import tracing
from graftscope.server.telemetry._otel import Tracing

PROGRAM = """
import asyncio, sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from graftscope.client import AsyncClient, Client

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
program = trace.get_tracer("program")

async def generate():
    async with AsyncClient(sys.argv[1]) as client:
        await client.generate("toy-vae", count=2)

with Client(sys.argv[1]) as client:
    with program.start_as_current_span("program"):
        client.generate("toy-vae", count=3)
        found = client.influence("toy-vae", "fc", [0, 1, 2, 3], pairs=64)
        client.modules(found, 2)
        asyncio.run(generate())
    with program.start_as_current_span("refused"):
        try:
            client.generate("nothing")
        except LookupError:
            pass
provider.shutdown()
"""

# A client leaves these once it has what it needs, and the server hears of it a little later; it
# also sends a refusal before its call is over.
STREAMS = (
    "graftscope.v1.AnalysisService/WatchOperation",
    "graftscope.v1.ArtifactService/ReadArtifact",
)


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """What spans are sent to."""

    spans: list[trace_pb2.Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: Any
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for each in request.resource_spans:
            said = {x.key: x.value.string_value for x in each.resource.attributes}
            self.services.add(said["service.name"])
            for scope in each.scope_spans:
                self.spans.extend(scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()


class Told:
    """Spans, by what they are."""

    def __init__(self, spans: Sequence[trace_pb2.Span]) -> None:
        self.spans = spans
        self._by_id = {span.span_id: span for span in spans}

    def parent(self, span: trace_pb2.Span) -> trace_pb2.Span | None:
        return self._by_id.get(span.parent_span_id)

    def path(self, span: trace_pb2.Span) -> tuple[str, ...]:
        above = self.parent(span)
        return (*(self.path(above) if above else ()), span.name)

    def at(self, *path: str) -> list[trace_pb2.Span]:
        return [span for span in self.spans if self.path(span) == path]


def facts(span: trace_pb2.Span) -> dict[str, str | int]:
    values = ((x.key.removeprefix("graftscope."), x.value) for x in span.attributes)
    return {key: value.string_value or value.int_value for key, value in values}


@pytest.fixture(scope="module")
def told(
    toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Told, Collector]]:
    """What a collector has received of a program and its server."""
    collector = Collector()
    receiving = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
        collector, receiving
    )
    port = receiving.add_insecure_port("127.0.0.1:0")
    receiving.start()
    state = tmp_path_factory.mktemp("traces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        settings = make_settings(
            bundles=(toy_vae_bundle,), state=state, listen="127.0.0.1:0", workers=2
        )
        with _in_thread(settings) as address:
            patch.setenv("OTEL_SERVICE_NAME", "a program")
            subprocess.run([sys.executable, "-c", PROGRAM, address], check=True, timeout=120)
    yield Told(collector.spans), collector
    receiving.stop(None)


def test_a_trace_goes_from_the_program_through_the_queue_to_the_run(
    told: tuple[Told, Collector],
) -> None:
    spans, collector = told
    assert collector.services == {"a program", "graftscope"}
    (program,) = spans.at("program")
    call = ("program", "Generate", "graftscope.v1.ModelService/Generate")
    for part in ("queue", "run"):
        found = spans.at(*call, part)
        assert len(found) == 2  # of the synchronous and of the asynchronous client
        assert {span.trace_id for span in found} == {program.trace_id}
    runs = [facts(run) for run in spans.at(*call, "run")]
    assert sorted(run["own_samples"] for run in runs) == [2, 3]
    assert [run["tasks"] for run in runs] == [1, 1]


def test_parts_lie_within_what_they_are_part_of(told: tuple[Told, Collector]) -> None:
    spans, _ = told
    checked = 0
    for span in spans.spans:
        if (above := spans.parent(span)) is not None:
            assert above.trace_id == span.trace_id
            assert above.start_time_unix_nano <= span.start_time_unix_nano, spans.path(span)
            if span.name not in STREAMS and not facts(span).get("reason"):
                assert span.end_time_unix_nano <= above.end_time_unix_nano, spans.path(span)
            checked += 1
    assert checked > 10


def test_a_job_is_a_trace_of_its_own_and_it_and_its_call_name_each_other(
    told: tuple[Told, Collector],
) -> None:
    spans, _ = told
    (call,) = spans.at("program", "Influence", "graftscope.v1.AnalysisService/Influence")
    (job,) = (span for span in spans.at("job") if facts(span)["analysis"] == "influence")
    assert job.trace_id != call.trace_id
    assert [link.span_id for link in job.links] == [call.span_id]
    assert [link.span_id for link in call.links] == [job.span_id]
    assert facts(job)["job"] == facts(call)["job"]
    assert (facts(job)["state"], facts(job)["layer"], facts(job)["pairs"]) == ("DONE", "fc", 64)
    of_it = [spans.path(span)[1:] for span in spans.spans if span.trace_id == job.trace_id]
    assert of_it.count(("shards", "shard")) == 2
    assert {("queue",), ("shards",), ("result",)} <= set(of_it)
    planned = spans.at(
        "program", "Influence", "graftscope.v1.AnalysisService/Influence", "planning"
    )
    assert len(planned) + of_it.count(("planning",)) >= 1


def test_finding_modules_tells_of_its_factorisation(told: tuple[Told, Collector]) -> None:
    spans, _ = told
    (found,) = spans.at("job", "factorisation")
    assert facts(found)["k"] == 2


def test_what_was_refused_is_an_error_of_the_caller_alone(told: tuple[Told, Collector]) -> None:
    spans, _ = told
    (mine,) = spans.at("refused", "Generate")
    (theirs,) = spans.at("refused", "Generate", "graftscope.v1.ModelService/Generate")
    assert mine.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    assert theirs.status.code == trace_pb2.Status.STATUS_CODE_UNSET
    assert facts(theirs)["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]


def test_of_a_long_call_a_bounded_number_of_parts_is_told() -> None:
    exporter = InMemorySpanExporter()
    traced = Tracing(exporter)
    call = traced.opened("/a.B/C", {})
    for at in range(300):
        call.record("run", at, at + 1)
    call.begin("run").end()
    call.end()
    traced.close()
    names = [span.name for span in exporter.get_finished_spans()]
    assert (names.count("run"), names.count("a.B/C")) == (256, 1)
    (whole,) = (span for span in exporter.get_finished_spans() if span.name == "a.B/C")
    assert dict(whole.attributes or {})["graftscope.parts_left_out"] == 45


class Deaf(InMemorySpanExporter):
    """A collector that does not answer until the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.over = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.over.wait(60)
        return SpanExportResult.FAILURE


def test_a_collector_that_does_not_answer_does_not_keep_a_server_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    deaf = Deaf()
    traced = Tracing(deaf, "http://collector.example:4317")
    traced.opened("/a.B/C", {}).end()
    traced.close()
    assert not deaf.over.is_set()
    deaf.over.set()
    assert "the last traces were not taken" in caplog.text


def test_a_caller_who_does_not_record_a_trace_makes_the_server_record_none() -> None:
    exporter = InMemorySpanExporter()
    traced = Tracing(exporter)
    call = traced.opened("/a.B/C", {"traceparent": f"00-{'1' * 32}-{'2' * 16}-00"})
    call.record("run", 0, 1)
    call.note(pairs=1)
    call.end()
    traced.close()
    assert call.trace == "1" * 32
    assert not exporter.get_finished_spans()


@pytest.mark.parametrize("given", ["", "00-0-0-01", "x" * 4000, "00-" + "0" * 32 + "-1-01"])
def test_a_trace_that_cannot_be_gone_on_from_begins_anew(given: str) -> None:
    traced = Tracing(InMemorySpanExporter())
    call = traced.opened("/a.B/C", {"traceparent": given})
    assert len(call.trace) == 32
    assert int(call.trace, 16)
    traced.close()


def test_nobody_traces_where_nothing_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with tracing("auto") as opening:
        assert opening is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with tracing("off") as opening:
        assert opening is None
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    with tracing("auto") as opening:
        assert opening is None
    assert current().trace == ""


def test_traces_without_the_extra_are_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "graftscope.server.telemetry._otel", None)
    with pytest.raises(InvalidInput, match=r"pip install 'graftscope\[otel\]'$"), tracing("on"):
        pass
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="or serve with --traces off, as it is OTEL_"):
        with tracing("auto"):
            pass


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), ("OTEL_TRACES_EXPORTER", "zipkin")],
)
def test_a_variable_that_asks_for_what_there_is_not_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=f"{name} '{value}' is not allowed"), tracing("on"):
        pass


def test_a_program_that_does_not_trace_imports_nothing_for_it(toy_vae_bundle: Path) -> None:
    program = """
import sys
from graftscope.client import Client, GraftscopeError
try:
    Client("127.0.0.1:1", timeout_s=0.05).models()
except GraftscopeError:
    pass
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout == "[]\n"
