"""A server's metrics, in the form that Prometheus reads."""

import platform
from collections.abc import Iterator, Mapping
from importlib import metadata

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from graftscope.server.engine import describe_compiler
from graftscope.server.rpc import Observer
from graftscope.server.telemetry import _metrics_calls as calls
from graftscope.server.telemetry import _metrics_state as state
from graftscope.server.telemetry._look import Look, Watched
from graftscope.server.telemetry._metrics_declared import Declared, Kind, Read
from graftscope.server.telemetry._metrics_principals import Principals

BUILD = Declared(
    "graftscope_build_info",
    Kind.GAUGE,
    "Always 1; its labels tell the versions, the device and the compiler.",
    ("version", "python", "onnxruntime", "grpc", "device", "compiler"),
)

AREAS: Mapping[str, tuple[Declared, ...]] = {
    "Calls": (*calls.DECLARED, *state.CALLS),
    "What is computed": state.WORK,
    "Jobs": state.JOBS,
    "Memory": state.MEMORY,
    "Models and sessions": state.SESSIONS,
    "What comes and goes": state.OBJECTS,
    "Storage": state.STORAGE,
    "Access": state.ACCESS,
    "The server": (BUILD,),
}
"""All metrics of a server's own; those of its process and of Python's garbage go with them."""

_RUNTIMES = ("onnxruntime-gpu", "onnxruntime")


class Metrics:
    """What is told of a server to who scrapes it.

    Args:
        watched: the server.

    Attributes:
        registry: all of it.
        observe: is to hear of every call that is over.
    """

    def __init__(self, watched: Watched) -> None:
        # Of its own: a process may hold several servers.
        self.registry = CollectorRegistry()
        principals = Principals()
        self.observe: Observer = calls.CallCounts(self.registry, principals).observe
        self.registry.register(_State(watched, principals))
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)


class _State(Collector):
    """Reads a server's state at every scrape."""

    def __init__(self, watched: Watched, principals: Principals) -> None:
        self._watched, self._principals = watched, principals
        self._build = {
            "version": metadata.version("graftscope"),
            "python": platform.python_version(),
            "onnxruntime": _runtime(),
            "grpc": metadata.version("grpcio"),
            "device": watched.catalogue.pool.device.value,
            "compiler": describe_compiler(),
        }

    def describe(self) -> Iterator[Metric]:
        """Nothing: who registers a collector need not look at the server for it."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All of it, as it is now."""
        yield InfoMetricFamily(BUILD.name.removesuffix("_info"), BUILD.help, self._build)
        look = Look(self._watched, self._principals)
        for each in state.STATE:
            if (family := _family(each, look)) is not None:
                yield family


def _family(declared: Read[Look], look: Look) -> Metric | None:
    """A metric with its values; None where they cannot be had."""
    values = declared.values(look)
    if values is None:
        return None
    kind = CounterMetricFamily if declared.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(declared.name, declared.help, labels=declared.labels)
    for labels, value in [((), values)] if isinstance(values, float | int) else values:
        family.add_metric(labels, value)
    return family


def _runtime() -> str:
    """The version of ONNX Runtime, of whichever package brought it."""
    for package in _RUNTIMES:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
