"""Who has been served for how long, so that whoever has been least is next (start-time fairness).

It must not know what anybody is served with, threads or clocks.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

_Who = TypeVar("_Who", bound=Hashable)


@dataclass(eq=False)
class _Account:
    """What somebody has had, in seconds, as far as foreseen; what waits, and what goes on."""

    seconds: float
    waiting: int = 0
    running: int = 0


class Accounts(Generic[_Who]):
    """Of those who ask, whoever has been served least is next.

    Nobody saves up what they did not ask for: who comes, or comes back, stands where those stand
    who are being served.
    """

    def __init__(self) -> None:
        self._accounts: dict[_Who, _Account] = {}
        # Where whoever was served last stood before: it only grows.
        self._reached = 0.0

    def __len__(self) -> int:
        return len(self._accounts)

    def __iter__(self) -> Iterator[_Who]:
        return iter(self._accounts)

    def asks(self, who: _Who) -> None:
        """Somebody has one piece of work more that waits."""
        account = self._accounts.setdefault(who, _Account(self._reached))
        if not account.waiting and not account.running:
            account.seconds = max(account.seconds, self._reached)
        account.waiting += 1

    def next(self) -> _Who | None:
        """Who is next of those who wait; of several that are equal, who came first."""
        waiting = [(x.seconds, who) for who, x in self._accounts.items() if x.waiting]
        return min(waiting, key=lambda each: each[0])[1] if waiting else None

    def begins(self, who: _Who, foreseen_s: float) -> None:
        """A piece that waited begins, and will likely take so long."""
        account = self._accounts[who]
        self._reached = max(self._reached, account.seconds)
        account.waiting -= 1
        account.running += 1
        account.seconds += foreseen_s

    def ends(self, who: _Who, more_s: float) -> None:
        """It has ended, and took so much more than foreseen."""
        account = self._accounts[who]
        account.running -= 1
        account.seconds += more_s
        self._forget()

    def drops(self, who: _Who) -> None:
        """A piece that waited is wanted no more."""
        self._accounts[who].waiting -= 1
        self._forget()

    def _forget(self) -> None:
        """Those who ask for nothing and would stand where newcomers do."""
        for who, x in list(self._accounts.items()):
            if not x.waiting and not x.running and x.seconds <= self._reached:
                del self._accounts[who]
