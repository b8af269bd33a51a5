"""How many things of a kind were made, and are gone again.

Wherever something comes and goes, it is counted here; whoever watches the server reads the numbers
when they are wanted. It must not know what is counted, or who reads.
"""

import threading
import weakref
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Tally:
    """Things of one kind, counted in any thread.

    Attributes:
        created: since the start.
        released: of these.
    """

    def __init__(self) -> None:
        self.created = self.released = 0
        # A thread that holds it may collect garbage meanwhile, and with it what is counted here.
        self._lock = threading.RLock()

    @property
    def current(self) -> int:
        """How many there are."""
        return self.created - self.released

    def create(self, number: int = 1) -> None:
        """So many more were made."""
        with self._lock:
            self.created += number

    def release(self) -> None:
        """One is gone."""
        with self._lock:
            self.released += 1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Something that is there for as long as the block lasts."""
        self.create()
        try:
            yield
        finally:
            self.release()

    def follow(self, thing: object) -> None:
        """Counts something that was made, and that it is gone once nobody has it any more."""
        self.create()
        weakref.finalize(thing, self.release).atexit = False


class Counts(Generic[Key]):
    """Numbers that only grow, by key; added to in any thread."""

    def __init__(self) -> None:
        self._numbers: Counter[Key] = Counter()
        self._lock = threading.Lock()

    def add(self, key: Key, number: int = 1) -> None:
        """Adds to the number of a key."""
        with self._lock:
            self._numbers[key] += number

    @property
    def by_key(self) -> Mapping[Key, int]:
        """All numbers, as they stand."""
        with self._lock:
            return dict(self._numbers)
