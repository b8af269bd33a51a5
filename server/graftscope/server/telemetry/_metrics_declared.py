"""What a metric is called, what it says, and where its values come from.

The table in docs/operations.md is made from these declarations. It must not know how they travel.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeAlias, TypeVar

Row: TypeAlias = tuple[tuple[str, ...], float]
"""What the labels are, in their order, and a number."""

Values: TypeAlias = float | Iterable[Row]
"""A number; or with labels one for each of their combinations."""

Source = TypeVar("Source")


class Kind(Enum):
    """How a metric's values go on in time, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Declared:
    """A metric.

    Attributes:
        name: as Prometheus' conventions have it, with the unit and `_total` of a counter.
        kind: how its values go on in time.
        help: what it says, to somebody who has never seen the project.
        labels: by what it is divided.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Read(Declared, Generic[Source]):
    """A metric that is read from what it tells of, when somebody asks.

    Attributes:
        values: its values at that moment; None where they cannot be had.
    """

    values: Callable[[Source], Values | None] = lambda _: None


def counter(
    name: str, text: str, values: Callable[[Source], Values | None], *labels: str
) -> Read[Source]:
    """A number that only grows, until the server starts anew."""
    return Read(name, Kind.COUNTER, text, labels, values)


def gauge(
    name: str, text: str, values: Callable[[Source], Values | None], *labels: str
) -> Read[Source]:
    """A number as it is now."""
    return Read(name, Kind.GAUGE, text, labels, values)
