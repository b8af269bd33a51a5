"""What is computed once and kept. It must not know what it keeps."""

import threading
from collections.abc import Callable
from typing import TypeVar, cast

_Value = TypeVar("_Value")


class Memo:
    """Values by key, each computed once, by whichever thread asks first."""

    def __init__(self) -> None:
        # Computing one value may ask for another.
        self._lock = threading.RLock()
        self._values: dict[str, object] = {}

    def get(self, key: str, compute: Callable[[], _Value]) -> _Value:
        """The value of this key; nothing is kept where computing it fails."""
        with self._lock:
            if key not in self._values:
                self._values[key] = compute()
            return cast(_Value, self._values[key])
