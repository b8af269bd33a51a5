"""Callers who are refused, in the log: a line for each reason and address, at most once a minute.

It must not know tokens, nor tell any.
"""

import time

from graftscope.server.errors import ServerError
from graftscope.server.logs import get_logger

_EVERY_S = 60.0
_MOST = 1_000
"""So many are remembered; of more, some are told again."""

_log = get_logger("access")


class Refusals:
    """Tells them; belongs to the event loop."""

    def __init__(self) -> None:
        self._told_s: dict[tuple[str, str], float] = {}

    def tell(self, error: ServerError, address: str) -> None:
        """One caller is refused."""
        who, now_s = (error.reason, address), time.monotonic()
        if now_s - self._told_s.get(who, -_EVERY_S) < _EVERY_S:
            return
        # Told last, so that those at the front are the oldest.
        self._told_s.pop(who, None)
        self._told_s[who] = now_s
        while len(self._told_s) > _MOST:
            del self._told_s[next(iter(self._told_s))]
        _log.info("caller refused", reason=error.reason, address=address)
