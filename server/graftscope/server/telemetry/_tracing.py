"""Whether calls and jobs are traced, as settings and OpenTelemetry's variables say."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from graftscope.server.errors import InvalidInput
from graftscope.server.logs import get_logger
from graftscope.server.rpc import Opening
from graftscope.server.spans import UNTOLD, enter

if TYPE_CHECKING:
    from graftscope.server.telemetry._otel import Tracing

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_log = get_logger("telemetry")


@contextmanager
def tracing(traces: Literal["auto", "on", "off"]) -> Iterator[Opening | None]:
    """What begins the spans of calls, for as long as the block lasts; None where nobody traces.

    Jobs and runs that are started inside are traced too. What was not sent yet is sent at the end.

    Args:
        traces: whether there are any; `auto` where OpenTelemetry's variables name a collector.

    Raises:
        InvalidInput: the extra is not installed, or a variable is not allowed.
    """
    tracing = chosen_tracing(traces)
    if tracing is None:
        yield None
        return
    _log.info("traces", to=tracing.place, service=tracing.service)
    try:
        enter(tracing.root)
        yield tracing.opened
    finally:
        enter(UNTOLD)
        tracing.close()


def chosen_tracing(traces: Literal["auto", "on", "off"]) -> "Tracing | None":
    """What sends spans, to be closed; None where nobody traces. As `tracing`."""
    if not _is_wanted(traces, os.environ):
        return None
    try:
        from graftscope.server.telemetry._otel import Tracing
    except ImportError as error:
        why = next((x for x in _ENDPOINTS if os.environ.get(x) and traces == "auto"), "")
        raise InvalidInput(
            "traces need OpenTelemetry: pip install 'graftscope[otel]'"
            + (f"; or serve with --traces off, as it is {why} that asks for them" if why else ""),
            field="traces",
        ) from error
    return Tracing.to_collector(os.environ)


def _is_wanted(traces: str, environment: Mapping[str, str]) -> bool:
    if traces != "auto":
        return traces == "on"
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    has_none = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not is_off and not has_none and any(environment.get(name) for name in _ENDPOINTS)
