"""What waits, taken in rounds over those who asked: nobody waits for all that another asked for.

It must not know what waits, or threads.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Rounds(Generic[_Item]):
    """Items in rounds over their askers, each asker's in the order in which they came."""

    def __init__(self) -> None:
        # Whose turn is next stands first.
        self._waiting: OrderedDict[Hashable, deque[_Item]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, asker: Hashable, item: _Item) -> None:
        """Something more, asked for by somebody."""
        self._waiting.setdefault(asker, deque()).append(item)

    def keep(self, wanted: Callable[[_Item], bool]) -> None:
        """Drops what is not wanted any more."""
        kept = ((asker, deque(filter(wanted, x))) for asker, x in self._waiting.items())
        self._waiting = OrderedDict((asker, items) for asker, items in kept if items)

    def first(self, may: Callable[[Hashable], bool]) -> tuple[Hashable, _Item] | None:
        """Takes the next item, of an asker who may have one; None where there is none."""
        for asker in self._waiting:
            if may(asker):
                return asker, self._taken(asker, 0)
        return None

    def fill(self, room: int, size: Callable[[_Item], int | None]) -> list[_Item]:
        """Takes what fits, one item of every asker in each round.

        Args:
            room: how large all that is taken may be.
            size: of an item; None where it cannot be taken.
        """
        taken: list[_Item] = []
        found = True
        while found:
            found = False
            for asker in list(self._waiting):
                for at, item in enumerate(self._waiting[asker]):
                    takes = size(item)
                    if takes is not None and takes <= room:
                        taken.append(self._taken(asker, at))
                        room -= takes
                        found = True
                        break
        return taken

    def _taken(self, asker: Hashable, at: int) -> _Item:
        """An asker's item; whoever had one goes to the end."""
        items = self._waiting.pop(asker)
        item = items[at]
        del items[at]
        if items:
            self._waiting[asker] = items
        return item
