"""The dashboard of Grafana: its panels, a line each, and the file that Grafana imports.

`tools/metrics.py` writes it. Panels ask for rates of what only grows, and show the rest as it is.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

WIDTH, HEIGHT = 8, 8
"""Of a panel, in Grafana's grid of 24 columns."""

_AT = 'instance=~"$instance"'
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """A graph.

    Attributes:
        title: what it shows.
        unit: in Grafana's words.
        series: legends, each with its expression; AT stands for the chosen servers.
        says: what to make of it.
        stacked: whether the series add up.
    """

    title: str
    unit: str
    series: dict[str, str]
    says: str = ""
    stacked: bool = field(default=False, kw_only=True)


def _rate(metric: str, by: str = "", where: str = "") -> str:
    total = f"sum by ({by})" if by else "sum"
    return f"{total} (rate({metric}{{{_AT}{where}}}[$__rate_interval]))"


def _now(metric: str, by: str = "", where: str = "") -> str:
    total = f"sum by ({by})" if by else "sum"
    return f"{total} ({metric}{{{_AT}{where}}})"


def _quantile(part: float) -> str:
    made = 'method=~"ModelService/(Generate|Hybridize|Encode)"'
    rate = f"rate(graftscope_request_duration_seconds_bucket{{{_AT},{made}}}[$__rate_interval])"
    return f"histogram_quantile({part}, sum by (method, le) ({rate}))"


_BAD = ',status=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE"'
_ALIVE = (
    f"sum by (kind) (graftscope_objects_created_total{{{_AT}}}"
    f" - graftscope_objects_released_total{{{_AT}}})"
)

ROWS: dict[str, tuple[Panel, ...]] = {
    "What is asked, and how it is answered": (
        Panel(
            "Calls a second, by method",
            "reqps",
            {"{{method}}": _rate("graftscope_requests_total", "method")},
            stacked=True,
        ),
        Panel(
            "Calls that did not go well, by status",
            "reqps",
            {"{{status}}": _rate("graftscope_requests_total", "status", ',status!="OK"')},
            "INTERNAL, UNKNOWN and DATA_LOSS are the server's own fault; CANCELLED mostly is a "
            "caller who has seen enough.",
        ),
        Panel(
            "Errors a second, by reason",
            "reqps",
            {"{{reason}}": f"{_rate('graftscope_errors_total', 'reason')} > 0"},
            "docs/errors.md says what each reason means, and what to do.",
        ),
        Panel(
            "Seconds of a call: median, and one in a hundred",
            "s",
            {"{{method}} median": _quantile(0.5), "{{method}} 99 %": _quantile(0.99)},
        ),
        Panel(
            "Calls that go on",
            "short",
            {
                "{{kind}}": _now("graftscope_calls_open", "kind"),
                "pieces that wait for a thread": _now("graftscope_tasks_waiting"),
            },
        ),
        Panel(
            "Refused for want of room",
            "reqps",
            {"{{of}}: {{reason}}": _rate("graftscope_refusals_total", "of, reason")},
            "Callers are told when to ask again. If it lasts, add a server.",
        ),
        Panel(
            "Share of calls that failed by the server's fault",
            "percentunit",
            {
                "failed": f"({_rate('graftscope_requests_total', where=_BAD)} or vector(0)) / "
                f"{_rate('graftscope_requests_total')}"
            },
        ),
    ),
    "What is computed": (
        Panel(
            "Hybrids a second",
            "ops",
            {"{{work}}": _rate("graftscope_hybrids_total", "work")},
            stacked=True,
        ),
        Panel("Pairs a second", "ops", {"{{work}}": _rate("graftscope_pairs_total", "work")}),
        Panel(
            "Images a second",
            "ops",
            {
                "generated": _rate("graftscope_samples_total"),
                "encoded": _rate("graftscope_encodings_total"),
            },
        ),
        Panel(
            "Calls that share a run",
            "short",
            {"calls": f"{_rate('graftscope_tasks_total')} / {_rate('graftscope_runs_total')}"},
            "It grows with the load: calls of one kind are computed together.",
        ),
        Panel(
            "Hybrids a second, by principal",
            "ops",
            {"{{principal}}": _rate("graftscope_principal_hybrids_total", "principal")},
        ),
        Panel(
            "Calls a second, by principal",
            "reqps",
            {"{{principal}}": _rate("graftscope_principal_requests_total", "principal")},
        ),
    ),
    "Jobs": (
        Panel(
            "Jobs in the database",
            "short",
            {
                "{{state}}": "max by (state) (graftscope_jobs"
                f'{{{_AT},state=~"queued|running|failed"}})'
            },
        ),
        Panel(
            "Jobs at each server",
            "short",
            {"{{instance}}: {{state}}": _now("graftscope_jobs_here", "instance, state")},
        ),
        Panel(
            "Jobs that ended, an hour",
            "short",
            {
                "{{analysis}}: {{end}}": "sum by (analysis, end) "
                f"(increase(graftscope_jobs_ended_total{{{_AT}}}[1h]))"
            },
        ),
        Panel("Shards a second", "ops", {"shards": _rate("graftscope_shards_total")}),
        Panel(
            "Sums that could not be kept",
            "short",
            {
                "{{instance}}": "sum by (instance) "
                f"(increase(graftscope_checkpoints_not_kept_total{{{_AT}}}[$__rate_interval]))"
            },
            "Should be none: a crash would cost what was computed since.",
        ),
        Panel(
            "The database can be read",
            "bool",
            {"{{instance}}": _now("graftscope_database_up", "instance")},
        ),
    ),
    "Memory and sessions": (
        Panel(
            "Memory",
            "bytes",
            {
                "{{instance}} resident": _now("graftscope_memory_resident_bytes", "instance"),
                "{{instance}} limit": _now("graftscope_memory_limit_bytes", "instance"),
            },
        ),
        Panel(
            "Memory that is held, as it was reckoned",
            "bytes",
            {"{{by}}": _now("graftscope_memory_held_bytes", "by")},
            stacked=True,
        ),
        Panel(
            "Waiting for memory",
            "short",
            {"{{by}}": _now("graftscope_memory_waiting", "by")},
        ),
        Panel(
            "Sessions that are open",
            "short",
            {
                "sessions": _now("graftscope_sessions_open"),
                "compiled code": _now("graftscope_compiled_code"),
                "limit": _now("graftscope_sessions_limit"),
            },
        ),
        Panel(
            "Sessions opened and closed a second",
            "ops",
            {
                "opened": _rate("graftscope_sessions_opened_total"),
                "closed": _rate("graftscope_sessions_closed_total"),
            },
            "Should be about none once a server is warm; else more is asked for than is kept.",
        ),
        Panel(
            "Share of a core that opens sessions",
            "percentunit",
            {"{{instance}}": _rate("graftscope_sessions_opening_seconds_total", "instance")},
        ),
    ),
    "What comes and goes": (
        Panel(
            "Created less released, by kind",
            "short",
            {"{{kind}}": _ALIVE},
            "What there is. A kind that only grows leaks, but for files, which are kept for as "
            "long as --keep-days and --keep-gib say.",
        ),
        Panel(
            "Created a second, by kind",
            "ops",
            {"{{kind}}": _rate("graftscope_objects_created_total", "kind")},
        ),
        Panel(
            "Processes and threads",
            "short",
            {
                "processes {{state}}": _now("graftscope_worker_processes", "state"),
                "threads {{pool}}": _now("graftscope_threads", "pool"),
            },
        ),
    ),
    "Storage and process": (
        Panel(
            "Kept",
            "bytes",
            {
                "{{kind}}": f"max by (kind) (graftscope_stored_bytes{{{_AT}}})",
                "limit": f"max (graftscope_stored_limit_bytes{{{_AT}}})",
            },
        ),
        Panel(
            "Free on the disk of the state folder",
            "percentunit",
            {
                "{{instance}}": f"graftscope_disk_free_bytes{{{_AT}}}"
                f" / graftscope_disk_bytes{{{_AT}}}"
            },
        ),
        Panel(
            "Processor",
            "short",
            {"{{instance}}": _rate("process_cpu_seconds_total", "instance")},
            "Cores that the server uses, without its worker processes.",
        ),
        Panel(
            "How late the event loop answers",
            "s",
            {"{{instance}}": f"graftscope_event_loop_lag_seconds{{{_AT}}}"},
            "Every call waits so much more; above a quarter of a second a core is missing.",
        ),
        Panel(
            "Files and connections that are open",
            "percentunit",
            {"{{instance}}": f"process_open_fds{{{_AT}}} / process_max_fds{{{_AT}}}"},
        ),
        Panel(
            "Time until the certificate expires",
            "s",
            {"{{instance}}": f"graftscope_certificate_expires_timestamp_seconds{{{_AT}}} - time()"},
            "Empty without TLS.",
        ),
        Panel(
            "Versions",
            "short",
            {
                "{{version}} on {{device}}, ONNX Runtime {{onnxruntime}}": "count by "
                f"(version, device, onnxruntime) (graftscope_build_info{{{_AT}}})"
            },
        ),
    ),
}


def expressions() -> Iterator[str]:
    """What the panels ask Prometheus for."""
    for row in ROWS.values():
        for panel in row:
            yield from panel.series.values()


def dashboard() -> str:
    """The file."""
    return json.dumps(_dashboard(), indent=1, ensure_ascii=False) + "\n"


def _dashboard() -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(_row(len(panels) + 1, title, top))
        top += 1
        for place, panel in enumerate(row):
            column, line = place % 3, place // 3
            where = {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": top + line * HEIGHT}
            panels.append(_graph(len(panels) + 1, panel, where))
        top += HEIGHT * -(-len(row) // 3)
    return {
        "uid": "graftscope",
        "title": "Graftscope",
        "tags": ["graftscope"],
        "timezone": "browser",
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": panels,
    }


def _variables() -> Sequence[dict[str, Any]]:
    every = {"selected": True, "text": "All", "value": "$__all"}
    return [
        {
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "hide": 0,
        },
        {
            "name": "instance",
            "label": "Server",
            "type": "query",
            "datasource": _SOURCE,
            "definition": "label_values(graftscope_build_info, instance)",
            "query": {
                "query": "label_values(graftscope_build_info, instance)",
                "refId": "instances",
            },
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": every,
            "hide": 0,
        },
    ]


def _row(number: int, title: str, top: int) -> dict[str, Any]:
    where = {"h": 1, "w": 24, "x": 0, "y": top}
    row = {"id": number, "type": "row", "title": title, "gridPos": where}
    return {**row, "collapsed": False, "panels": []}


def _graph(number: int, panel: Panel, where: dict[str, int]) -> dict[str, Any]:
    stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
    drawn = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "gridPos": where,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {**drawn, "stacking": stacking}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(panel.series.items())
        ],
    }
