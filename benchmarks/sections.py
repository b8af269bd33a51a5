"""The sections of the benchmark, in the order in which they run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks import (
    access,
    explorer,
    influence,
    influence_tables,
    large,
    leaving_out,
    metrics,
    node_times,
    peak,
    scaling,
    served,
    startup,
)
from benchmarks.machine import Machine
from benchmarks.options import Options


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes:
        title: its heading.
        measure: gives plain values for the JSON file.
        table: writes them as Markdown.
    """

    title: str
    measure: Callable[[Options, Machine], dict[str, object]]
    table: Callable[[Mapping[str, object]], str]


SECTIONS = {
    "influence": Section("Influence of a whole layer", influence.measure, influence_tables.table),
    "rewrites": Section("What each rewrite gains", leaving_out.measure, leaving_out.table),
    "profile": Section("Where a hybrid's time goes", node_times.measure, node_times.table),
    "scaling": Section("How cost grows", scaling.measure, scaling.table),
    "serving": Section("What serving costs", served.measure, served.table),
    "access": Section("What TLS and being asked cost", access.measure, access.table),
    "metrics": Section("What metrics cost", metrics.measure, metrics.table),
    "explorer": Section("How the explorer's page follows", explorer.measure, explorer.table),
    "memory": Section("Peak memory", peak.measure, peak.table),
    "large": Section("A layer of large generators", large.measure, large.table),
    "startup": Section("Start-up", startup.measure, startup.table),
}
