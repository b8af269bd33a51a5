"""Which jobs are under way, and how many stand before each that waits.

Those of different principals go on side by side; of one principal's, the one that was asked for
first, and a short one beside it. It belongs to the event loop, and must not know what jobs compute.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

SHORT = 0.25
"""A job goes beside another of its principal's if it is no longer than this part of it."""


@dataclass(eq=False)
class Place:
    """A job's place in a lane.

    Attributes:
        principal: whose job it is.
        left: how much it has to do, in what jobs of this lane are measured by.
        tell: told how many jobs it waits for, whenever that changes; 0 once it waits no more.
    """

    principal: str
    left: Callable[[], float]
    tell: Callable[[int], None]
    taken: "asyncio.Future[None]" = field(init=False)
    ahead: int = field(default=-1, init=False)


class Lane:
    """Places for jobs of one kind; of the same principal's, in the order in which they came.

    Args:
        most: how many jobs are under way; each holds sums in memory.
        each: how many of one principal's, of which all but one are short.
    """

    def __init__(self, most: int, each: int = 1) -> None:
        self._most, self._each = most, each
        self._waiting: list[Place] = []
        self._under_way: list[Place] = []

    @asynccontextmanager
    async def place(self, place: Place) -> AsyncIterator[None]:
        """A job that is under way for as long as the block lasts, once there is a place for it."""
        await self.enter(place)
        try:
            yield
        finally:
            self.leave(place)

    async def enter(self, place: Place) -> None:
        """Waits for a place."""
        place.taken = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._fill()
        try:
            await place.taken
        except asyncio.CancelledError:
            self.leave(place)
            raise

    def leave(self, place: Place) -> None:
        """Gives a place back, or waits for none any more."""
        for places in (self._waiting, self._under_way):
            if place in places:
                places.remove(place)
        self._fill()

    def _fill(self) -> None:
        while len(self._under_way) < self._most and (place := self._next()):
            self._waiting.remove(place)
            self._under_way.append(place)
            if not place.taken.done():
                place.taken.set_result(None)
        self._tell()

    def _next(self) -> Place | None:
        """The first of those who may, of a principal who has fewest places."""
        left: dict[str, list[float]] = {place.principal: [] for place in self._waiting}
        for place in self._under_way:
            left.setdefault(place.principal, []).append(place.left())
        first: dict[str, Place] = {}
        allowed = [
            place
            for place in self._waiting
            if self._may(
                place,
                left[place.principal],
                is_first=first.setdefault(place.principal, place) is place,
            )
        ]
        return min(allowed, key=lambda x: len(left[x.principal]), default=None)

    def _may(self, place: Place, left: list[float], *, is_first: bool) -> bool:
        """Whether it may go beside those of its principal's, which have so much left to do."""
        if not left:
            return is_first
        if len(left) >= self._each:
            return False
        is_short = place.left() <= SHORT * max(left)
        return is_short or (is_first and max(left) <= SHORT * place.left())

    def _tell(self) -> None:
        """Tells those to whom it is new how many stand before them."""
        ahead = dict.fromkeys(self._under_way, 0)
        count: dict[str, int] = {}
        for place in self._under_way:
            count[place.principal] = count.get(place.principal, 0) + 1
        for place in self._waiting:
            # Where all places are others', one of theirs has to end.
            ahead[place] = max(1, count.get(place.principal, 0))
            count[place.principal] = count.get(place.principal, 0) + 1
        for place, number in ahead.items():
            if place.ahead != number:
                place.ahead = number
                place.tell(number)
