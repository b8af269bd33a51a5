"""A server whose metrics are scraped, as Prometheus would."""

import logging
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc
from prometheus_client.parser import text_string_to_metric_families

from access_toys import protected
from server_toys import TIMEOUT_S, Stubs

Labels: TypeAlias = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Scrape:
    """What was told at one moment: numbers by series, and the kinds of metrics by name."""

    numbers: Mapping[tuple[str, Labels], float]
    kinds: Mapping[str, str]
    helps: Mapping[str, str]

    def __call__(self, name: str, **labels: str) -> float:
        """The number of a series; 0 where it is not told."""
        return self.numbers.get((name, frozenset(labels.items())), 0.0)

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The numbers of a metric that are not 0, by some of its labels."""
        found: dict[tuple[str, ...], float] = {}
        for (each, told), number in self.numbers.items():
            if each == name and number:
                key = tuple(dict(told)[label] for label in labels)
                found[key] = found.get(key, 0.0) + number
        return found

    @property
    def names(self) -> set[str]:
        """What series are called."""
        return {name for name, _ in self.numbers}


def scrape(url: str) -> Scrape:
    """What is told at an address."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return Scrape(
        {(x.name, frozenset(x.labels.items())): x.value for each in families for x in each.samples},
        {each.name: each.type for each in families},
        {each.name: each.documentation for each in families},
    )


@dataclass(frozen=True)
class Watched:
    """A server, and where its metrics are."""

    stubs: Stubs
    url: str

    def scrape(self) -> Scrape:
        return scrape(self.url)


@contextmanager
def addresses() -> Iterator[list[Mapping[str, object]]]:
    """What servers say of their metrics' ports while the block lasts."""
    told: list[Mapping[str, object]] = []

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = getattr(record, "fields", {})
            if fields.get("event") == "metrics":
                told.append(fields)

    logger, heard = logging.getLogger("graftscope.server.server"), Heard()
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(heard)
    try:
        yield told
    finally:
        logger.removeHandler(heard)
        logger.setLevel(before)


@contextmanager
def watched(bundle: Path, state: Path, **settings: object) -> Iterator[Watched]:
    """A server of a bundle, for as long as the block lasts."""
    chosen = {"auth": "none", "workers": 2, "metrics": "127.0.0.1:0", **settings}
    with addresses() as told, protected([bundle], state, **chosen) as address:
        with grpc.insecure_channel(address) as channel:
            yield Watched(Stubs(address, channel, state), str(told[-1]["address"]))
