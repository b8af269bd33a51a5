"""Who has time series of their own: a bounded number, since each takes memory of who keeps them."""

MOST_PRINCIPALS = 100
"""Those who called first have time series of their own; all others share one."""

OTHER = "other"
"""The label of whatever has no time series of its own."""


class Principals:
    """Who has a time series of their own: a bounded number.

    Args:
        most: how many.
    """

    def __init__(self, most: int = MOST_PRINCIPALS) -> None:
        self._most = most
        self._known: dict[str, str] = {}

    def label(self, owner: str) -> str:
        """The label of a principal."""
        known = self._known.get(owner)
        if known is not None:
            return known
        if len(self._known) >= self._most:
            return OTHER
        self._known[owner] = owner
        return owner
