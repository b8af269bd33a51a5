"""How many jobs may run or wait, in all and of one owner: what does not fit is refused at once.

It must not know what jobs compute.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graftscope.server.errors import Overloaded
from graftscope.server.jobs._store import JobStore

QUEUED_JOBS = 1_000
"""Jobs that run or wait, where nothing else is said."""

_ALONE = 0.75
"""What one owner may have while nobody else has any, where callers say who they are."""

_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0


class JobRoom:
    """Room for new jobs, on all servers of one database together.

    Args:
        store: where jobs are kept.
        limit: how many may run or wait.

    Attributes:
        limit: as given.
        refused: jobs for which there was no room, by why.
    """

    def __init__(self, store: JobStore, limit: int) -> None:
        self.refused = Counter[str]()
        self._store, self.limit = store, limit
        # They are not stored yet.
        self._beginning: Counter[str] = Counter()

    @asynccontextmanager
    async def for_one(self, owner: str) -> AsyncIterator[None]:
        """Room for one more, which is stored before the block is left.

        Args:
            owner: whose it will be; '' where nobody is asked who they are.

        Raises:
            Overloaded: there is none.
        """
        stored = await asyncio.to_thread(self._store.waiting)
        counts = Counter(owner for owner, _ in stored) + self._beginning
        self._check(owner, counts, min((s for _, s in stored if s is not None), default=0.0))
        self._beginning[owner] += 1
        try:
            yield
        finally:
            self._beginning[owner] -= 1

    def _check(self, owner: str, counts: Counter[str], next_end_s: float) -> None:
        others = len(counts) - (owner in counts)
        if not owner:
            most = self.limit
        elif others:
            most = max(1, self.limit // (others + 1))
        else:
            most = max(1, int(self.limit * _ALONE))
        wait_s = min(max(next_end_s, _SHORTEST_WAIT_S), _LONGEST_WAIT_S)
        if counts.total() >= self.limit:
            self.refused["full"] += 1
            raise Overloaded(
                f"{counts.total()} jobs run or wait; {self.limit} is the most at a time; ask "
                f"again in {wait_s:.2g} s",
                retry_after_s=wait_s,
            )
        if counts[owner] >= most:
            self.refused["share"] += 1
            raise Overloaded(
                f"{counts[owner]} of your jobs run or wait; at most {most} of {self.limit} are "
                f"one owner's now; cancel one, or ask again in {wait_s:.2g} s",
                retry_after_s=wait_s,
            )
