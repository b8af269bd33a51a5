"""What a line in the log and traces cost a call, on both sides.

    python -m benchmarks.telling

Servers in processes of their own, one a way, take turns: each is asked for one sample, one call at
a time, by one and the same client, which traces its own calls where the server does. The server's
processor time tells what a call costs it; the time of the call, what its caller notices.
"""

import os
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import grpc
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks import markdown
from benchmarks.serving_load import MODEL, Served, Spread, serving
from graftscope.client import Client

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
ROUNDS, CALLS = 7, 200

NO_LINES = "no lines (--log-level warning)"
TEXT, JSON = "a line of text a call", "a line of JSON a call"
TRACES = "JSON, and traces of client and server"
WAYS = {
    NO_LINES: ["--log-level", "warning", "--traces", "off"],
    TEXT: ["--log-level", "info", "--traces", "off"],
    JSON: ["--log-level", "info", "--log-format", "json", "--traces", "off"],
    TRACES: ["--log-level", "info", "--log-format", "json", "--traces", "on"],
}


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans, and drops them."""

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collector() -> Iterator[str]:
    """A collector on this machine; gives its address."""
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
        Collector(), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(None)


def turn(server: Served, client: Client, tracer: trace.Tracer | None) -> tuple[float, float]:
    """Milliseconds of a call, and of the server's processor, in the median and the mean."""
    times, before_s = [], server.cpu_s()
    with ExitStack() as stack:
        if tracer is None:
            # To a client this is a program that does not trace.
            stack.enter_context(mock.patch.dict(sys.modules))
            del sys.modules["opentelemetry.trace"]
        else:
            stack.enter_context(tracer.start_as_current_span("program"))
        for _ in range(CALLS):
            began_s = time.perf_counter()
            client.generate(MODEL)
            times.append(time.perf_counter() - began_s)
    return 1e3 * statistics.median(times), 1e3 * (server.cpu_s() - before_s) / CALLS


def main() -> None:
    """Prints a table."""
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        place = stack.enter_context(collector())
        stack.enter_context(mock.patch.dict(os.environ, {ENDPOINT: place}))
        logs = Path(stack.enter_context(TemporaryDirectory()))
        servers, clients = {}, {}
        for number, (way, options) in enumerate(WAYS.items()):
            log = stack.enter_context((logs / str(number)).open("wb"))
            servers[way] = stack.enter_context(serving(2, options=options, log=log))
            clients[way] = stack.enter_context(Client(servers[way].address))
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
        tracer = provider.get_tracer("benchmark")
        for at in range(1 + ROUNDS):
            for way, server in servers.items():
                one = turn(server, clients[way], tracer if way == TRACES else None)
                if at:  # The first opens the sessions.
                    found[way].append(one)
        provider.shutdown()
    rows = []
    for way, each in found.items():
        call, cpu = ([one[i] for one in each] for i in range(2))
        base = found[NO_LINES]
        more = [one[1] - plain[1] for one, plain in zip(each, base, strict=True)]
        rows.append([way, told(call), told(cpu), told(more) if way != NO_LINES else "-"])
    head = ["way", "call (ms)", "server's processor a call (ms)", "above the first (ms)"]
    sys.stdout.write(markdown.table(head, rows) + "\n")


def told(values: list[float]) -> str:
    """The median, and the range that half of them lie in."""
    spread = Spread.of(values)
    return f"{spread.median:.3f} ({spread.low:.3f} to {spread.high:.3f})"


if __name__ == "__main__":
    main()
