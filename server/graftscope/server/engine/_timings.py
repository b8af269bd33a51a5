"""What was measured of plans, so that it is measured once: in memory, and kept where one says.

It must not know where that is, nor what is measured.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import partial
from typing import Protocol

from graftscope.server.engine._machine_kind import machine_kind
from graftscope.server.engine._memo import Memo

# Of measurements, those that were asked for last; a job asks for about ten.
_IN_MEMORY = 4096


class KeptTimings(Protocol):
    """Measurements that outlast the process, and may be shared by several."""

    def find(self, key: str) -> float | None:
        """What was measured under a key; None where nothing was, or it counts no longer."""

    def add(self, key: str, value: float) -> float:
        """Keeps what was just measured.

        Returns:
            What counts from now on: another process may have been faster.
        """


@dataclass(eq=False)
class Timings:
    """Measurements by what they are of, on machines of this kind.

    Attributes:
        kept: where they outlast the process; None where they do not.
        memo: those that are in memory.
        measured: how many had to be measured for whoever holds this.
    """

    kept: KeptTimings | None = None
    memo: Memo = field(default_factory=partial(Memo, _IN_MEMORY))
    measured: int = 0

    def for_one(self) -> "Timings":
        """The same measurements for one job, counted from 0."""
        return Timings(self.kept, self.memo)

    def get(self, what: object, measure: Callable[[], float]) -> float:
        """What `measure` gives, or once gave.

        Args:
            what: what is measured, of plain values, tuples and dataclasses.
            measure: measures it: a number of at least 0.

        Raises:
            Cancelled: as `Memo.get`.
        """
        text = json.dumps([machine_kind(), _told(what)])
        key = hashlib.sha256(text.encode()).hexdigest()
        return self.memo.get(key, lambda: self._found(key, measure))

    def _found(self, key: str, measure: Callable[[], float]) -> float:
        found = self.kept.find(key) if self.kept is not None else None
        if found is not None:
            return found
        value = measure()
        self.measured += 1
        return self.kept.add(key, value) if self.kept is not None else value


def _told(value: object) -> object:
    """The same for equal values in any process.

    Raises:
        TypeError: a value cannot be told.
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [_told(each) for each in value]
    if is_dataclass(value):
        return {each.name: _told(getattr(value, each.name)) for each in fields(value)}
    raise TypeError(f"{value!r} is not told the same in any process")
