"""When a refused call is made again: as soon as the server says, with some jitter, in time."""

import random
import time
from collections.abc import Callable

from graftscope.client.errors import GraftscopeError

MOST_TRIES = 8
"""So often a call is made, the first time included."""

_JITTER = 0.25
"""Of the wait that the server names: those who were refused together do not come back together."""


class Retries:
    """The tries of one call, all within its timeout.

    What a server refuses with a time at which to ask again, it has not begun: asking again is
    safe whatever the call.

    Args:
        timeout_s: For all tries together; None for no limit.
        clock: Seconds.
        chance: A number from 0 to 1, another one each time.
    """

    def __init__(
        self,
        timeout_s: float | None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._timeout_s, self._clock, self._chance = timeout_s, clock, chance
        self._began_s = clock()
        self._tries = 0

    @property
    def left_s(self) -> float | None:
        """How long the next try may take; None for any time."""
        if self._timeout_s is None:
            return None
        return max(0.0, self._timeout_s - (self._clock() - self._began_s))

    def wait_s(self, error: GraftscopeError) -> float:
        """Tell how long to wait before the next try.

        Args:
            error: Why the last try failed.

        Raises:
            GraftscopeError: `error` itself, if it is of no use to try again, or there were too
                many tries; where there were several, its message says so.
        """
        self._tries += 1
        if error.retry_after_s is None:
            raise error
        wait_s = error.retry_after_s * (1 + _JITTER * self._chance())
        if self._tries < MOST_TRIES and (self.left_s is None or wait_s < self.left_s):
            return wait_s
        spent_s = self._clock() - self._began_s
        why = f"tried {_times(self._tries)} in {spent_s:.3g} s"
        if self._tries < MOST_TRIES:
            why += f", and `timeout_s` of {self._timeout_s:g} leaves no time for another"
        error.args = (f"{error} ({why})",)
        raise error


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
