"""Jobs before they are stored: their identity, and their plan if it is found soon enough.

Estimates take a while and must not hold up look-ups, so they have a thread of their own; another is
for what else takes a while of large requests. Both are shared fairly among those who ask.
"""

import asyncio
from dataclasses import dataclass, replace
from functools import partial

from graftscope.server.engine import Cancellation, MemoryBudget
from graftscope.server.errors import Cancelled, Overloaded, ServerStopping
from graftscope.server.jobs._checkpoints import Sums
from graftscope.server.jobs._job import Job
from graftscope.server.jobs._preparation import Preparation
from graftscope.server.jobs._scheduling import FairWorkers
from graftscope.server.jobs._specification import Spec, identity
from graftscope.server.spans import part

STOPS = "the server stops; ask again when it is back"
"""What those are told who ask too late."""


@dataclass(frozen=True)
class Call:
    """What somebody asks to be computed, and what ends its preparation; see `JobRunner.create`."""

    cancellation: Cancellation
    spec: Spec
    model: str
    request_id: str | None
    owner: str
    shared: bool = False
    needed: bool = False
    share: str | None = None

    @property
    def shares(self) -> str:
        """Among whom the server divides itself fairly."""
        return self.owner if self.share is None else self.share


class Drafts:
    """Makes jobs that nobody has stored yet.

    Args:
        preparation: how.
        memory: what planning takes its memory from.
    """

    def __init__(self, preparation: Preparation, memory: MemoryBudget) -> None:
        self._preparation, self._memory = preparation, memory
        self._planning = FairWorkers(1, "planning")
        self._outlining = FairWorkers(1, "outlining")

    def close(self) -> None:
        """Ends the threads, once what they do is done; blocks."""
        self._planning.shutdown()
        self._outlining.shutdown()

    async def identity(self, call: Call) -> str:
        """The identity of what is asked for; of a large specification it takes a while."""
        loop, outlining = asyncio.get_running_loop(), self._outlining.flow(call.shares)
        return await loop.run_in_executor(outlining, identity, call.spec)

    async def draft(self, call: Call, patience_s: float | None) -> tuple[Job, Sums | None]:
        """A new job; one whose plan is not found in this time finds it in its turn.

        Args:
            call: what is asked for.
            patience_s: how long the plan is waited for; None for as long as it takes.

        Raises:
            TooLarge: it would take more memory than there is.
            Overloaded: there is no memory to plan in, and the plan was to be waited for.
            Cancelled: the caller has left.
            ServerStopping: the server stops.
        """
        prepare = partial(self._preparation.prepare, call.spec, call.model, call.owner)
        loop = asyncio.get_running_loop()
        flow, outlining = self._planning.flow(call.shares), self._outlining.flow(call.shares)
        measuring = call.cancellation.child()
        try:
            measuring.check()
            self._memory.check(self._preparation.need(call.spec))
            planning = self._memory.held_in_call(self._preparation.planning_need(call.spec))
            try:
                async with asyncio.timeout(patience_s), planning:
                    with part("planning"):
                        job, sums = await loop.run_in_executor(flow, measuring.around(prepare))
            except (TimeoutError, Overloaded):
                if patience_s is None:
                    raise
                measuring.cancel()  # The thread is for who comes next.
                outline = call.cancellation.around(partial(prepare, measures=False))
                job, sums = await loop.run_in_executor(outlining, outline)
            finally:
                measuring.cancel()  # Where the caller has left.
            return replace(job, shared=call.shared, wanted=not call.needed), sums
        except Cancelled as error:
            if not self._preparation.cancellation.cancelled:
                raise
            raise ServerStopping(STOPS) from error
