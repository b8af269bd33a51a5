"""How often something that broke is tried again, and how long to wait before."""

from graftscope.client._flow import Flow, Sleep
from graftscope.client.errors import GraftscopeError

DELAYS_S = (0.1, 0.3, 1.0, 3.0, 5.0, 10.0)
"""Waits before the tries that follow a failure; together, time enough to restart a server."""


class Patience:
    """Counts failures in a row."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """Take note that something got ahead."""
        self._failures = 0

    def wait(self, error: GraftscopeError) -> Flow[None]:
        """Wait before the next try.

        Args:
            error: Why the last try failed.

        Raises:
            GraftscopeError: `error` itself, once there were too many failures in a row.
        """
        if self._failures == len(DELAYS_S):
            raise error
        yield Sleep(DELAYS_S[self._failures])
        self._failures += 1
