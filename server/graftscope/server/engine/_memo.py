"""What is computed once and kept. It must not know what it keeps."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from graftscope.server.engine._cancellation import check_here

# How long a caller who has left may be waited for.
_CHECK_EVERY_S = 0.1

_Value = TypeVar("_Value")


class Memo:
    """Values by key, each computed once, by whichever thread asks first.

    Others who ask for the same value meanwhile wait for it; whoever asks for another one does not.

    Args:
        limit: how many are kept, those that were asked for last; None for all.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, object] = OrderedDict()
        self._underway: dict[Hashable, threading.Event] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable, compute: Callable[[], _Value]) -> _Value:
        """The value of this key.

        Nothing is kept where computing it fails; the next who asks, or waits, computes it anew: a
        call that was stopped must not stop another that waits for the same.

        Raises:
            Cancelled: what the calling thread works for was cancelled while it waited.
        """
        while True:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return cast(_Value, self._values[key])
                other = self._underway.get(key)
                if other is None:
                    mine = self._underway[key] = threading.Event()
            if other is None:
                return self._computed(key, compute, mine)
            while not other.wait(_CHECK_EVERY_S):
                check_here()

    @property
    def values(self) -> list[tuple[Hashable, object]]:
        """All that is kept, with its key, what was asked for longest ago first."""
        with self._lock:
            return list(self._values.items())

    def drop(self, key: Hashable) -> None:
        """Forgets a value; whoever has it keeps it."""
        with self._lock:
            self._values.pop(key, None)

    def _computed(
        self, key: Hashable, compute: Callable[[], _Value], done: threading.Event
    ) -> _Value:
        try:
            value = compute()
            with self._lock:
                self._values[key] = value
                if self._limit is not None and len(self._values) > self._limit:
                    self._values.popitem(last=False)
        finally:
            with self._lock:
                del self._underway[key]
            done.set()
        return value
