"""What a server speaks to elsewhere: a cluster that computes for it, a collector of traces."""

import socket
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, NothingToCheck, ok, problem, warning
from graftscope.server.doctor._installing import install
from graftscope.server.errors import ClusterUnavailable, InvalidInput
from graftscope.server.executors.cluster import check_usable, cluster_of
from graftscope.server.telemetry import chosen_tracing

_REACH_S = 3.0
_PORT = 4317
"""Where collectors take OTLP over gRPC."""


def executor(case: Case) -> Iterator[Finding]:
    """That the cluster answers on which jobs are to compute."""
    settings = case.settings
    where = cluster_of(settings.executor)
    if where is None:
        raise NothingToCheck("jobs compute in the server's own process")
    have = case.machine.version_of("ray")
    if have is None:
        yield problem(
            "--executor asks for Ray, which is not installed",
            f"--executor local, or {install('ray')}",
        )
        return
    if where.host is None:
        yield ok(f"the server will start Ray {have} on this machine only")
        return
    try:
        check_usable(where, insecure=settings.insecure)
    except (InvalidInput, ClusterUnavailable) as error:
        found, _, advice = str(error).partition("; " if isinstance(error, InvalidInput) else ": ")
        yield problem(found, advice)
        return
    yield ok(f"the head of a cluster answers at {where.address}; this machine has Ray {have}")


def traces(case: Case) -> Iterator[Finding]:
    """That traces can be sent, where there are to be any."""
    try:
        tracing = chosen_tracing(case.settings.traces)
    except InvalidInput as error:
        found, _, advice = str(error).partition(": ")
        yield problem(found, advice or "--traces off")
        return
    if tracing is None:
        raise NothingToCheck("tracing is off")
    with closing(tracing):
        place = tracing.place
    if why := _unreachable(place):
        yield warning(
            f"nothing takes traces at {place} ({why}): they are lost, but the server works",
            "start the collector, correct OTEL_EXPORTER_OTLP_ENDPOINT, or --traces off",
        )
        return
    yield ok(f"traces go to {place}")


def _unreachable(place: str) -> str:
    """Why nobody listens at a URL, or at HOST:PORT; empty where somebody does."""
    try:
        url = urlsplit(place if "://" in place else f"//{place}")
        socket.create_connection((url.hostname or "", url.port or _PORT), _REACH_S).close()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""
