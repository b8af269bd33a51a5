"""Calls that are over, counted as they end: by method and status, and by who called.

Nothing that callers choose may make a new time series: what is not in the table of methods is one,
and of principals the first hundred have their own.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

from graftscope.server.access import METHODS
from graftscope.server.rpc import REASONS, Call
from graftscope.server.telemetry._metrics_declared import Declared, Kind
from graftscope.server.telemetry._metrics_principals import MOST_PRINCIPALS, OTHER, Principals

_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)

REQUESTS = Declared(
    "graftscope_requests_total",
    Kind.COUNTER,
    "Calls that have ended, by method (Service/Method) and by the status of the answer. Watches "
    "and explorations count when they end.",
    ("method", "status"),
)
DURATIONS = Declared(
    "graftscope_request_duration_seconds",
    Kind.HISTOGRAM,
    "Seconds from the arrival of a call until its last reply was ready. Watches and explorations "
    "last as long as their callers like.",
    ("method", "status"),
)
ERRORS = Declared(
    "graftscope_errors_total",
    Kind.COUNTER,
    "Calls that ended with an error, by its stable reason (docs/errors.md).",
    ("reason",),
)
PRINCIPAL_REQUESTS = Declared(
    "graftscope_principal_requests_total",
    Kind.COUNTER,
    "Calls that have ended, by caller, if callers are authenticated. The first "
    f"{MOST_PRINCIPALS} callers have series of their own; all others share '{OTHER}'.",
    ("principal",),
)
PRINCIPAL_SECONDS = Declared(
    "graftscope_principal_seconds_total",
    Kind.COUNTER,
    "Seconds that the calls of a caller took, including waiting; by caller as in "
    "graftscope_principal_requests_total.",
    ("principal",),
)

DECLARED = (REQUESTS, DURATIONS, ERRORS, PRINCIPAL_REQUESTS, PRINCIPAL_SECONDS)


class CallCounts:
    """Counts calls as they end.

    Args:
        registry: where it is asked for the numbers.
        principals: who has a time series.
    """

    def __init__(self, registry: CollectorRegistry, principals: Principals) -> None:
        self._principals = principals
        self._requests = _counter(REQUESTS, registry)
        self._durations = Histogram(
            DURATIONS.name, DURATIONS.help, DURATIONS.labels, registry=registry, buckets=_BUCKETS_S
        )
        self._errors = _counter(ERRORS, registry)
        self._of_principals = _counter(PRINCIPAL_REQUESTS, registry)
        self._seconds_of_principals = _counter(PRINCIPAL_SECONDS, registry)
        for reason in REASONS:  # Of a series that begins at 1 no rate sees that it rose.
            self._errors.labels(reason)
        # To look a series up by its labels takes longer than to add to it.
        self._series: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._series_of_principals: dict[str, tuple[Counter, Counter]] = {}

    def observe(self, call: Call) -> None:
        """Counts a call; an `Observer`."""
        count, seconds = self._series_of(call.method, call.status)
        count.inc()
        seconds.observe(call.seconds)
        if call.reason:
            self._errors.labels(call.reason).inc()
        if call.owner:
            count, took = self._series_of_principal(self._principals.label(call.owner))
            count.inc()
            took.inc(call.seconds)

    def _series_of(self, method: str, status: str) -> tuple[Counter, Histogram]:
        key = (method if method in METHODS else OTHER, status)
        found = self._series.get(key)
        if found is None:
            labels = (method_label(key[0]), status)
            found = self._requests.labels(*labels), self._durations.labels(*labels)
            self._series[key] = found
        return found

    def _series_of_principal(self, label: str) -> tuple[Counter, Counter]:
        found = self._series_of_principals.get(label)
        if found is None:
            found = self._of_principals.labels(label), self._seconds_of_principals.labels(label)
            self._series_of_principals[label] = found
        return found


def method_label(path: str) -> str:
    """ModelService/Hybridize of /graftscope.v1.ModelService/Hybridize."""
    package, _, method = path.rpartition("/")
    return f"{package.rpartition('.')[2]}/{method}" if package else path


def _counter(declared: Declared, registry: CollectorRegistry) -> Counter:
    return Counter(declared.name, declared.help, declared.labels, registry=registry)
