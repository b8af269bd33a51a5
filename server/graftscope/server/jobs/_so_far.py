"""What influence jobs that have no result amount to so far, wherever they run.

Where a job runs here, that is its latest sums; where another server of the same store has it, where
it waits to be gone on with, and where it ended without a result, those of its latest checkpoint. It
must not know gRPC.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

from graftscope.server.engine import Cancellation, MemoryBudget, Need
from graftscope.server.errors import InvalidInput, NotReady
from graftscope.server.jobs._beside import Asked, Beside
from graftscope.server.jobs._checkpoints import Sums
from graftscope.server.jobs._influence import InfluenceWork
from graftscope.server.jobs._job import Checkpoint, Job, JobState
from graftscope.server.jobs._live_job import Live, Snapshot
from graftscope.server.jobs._modules_so_far import Material, ModulesFinder, ModulesQuestion
from graftscope.server.jobs._preparation import Preparation, stored_plan
from graftscope.server.jobs._specification import InfluenceSpec, parse_spec

# Between two times that a job's row is asked for a newer checkpoint.
_READ_EVERY_S = 1.0

# Of the result arrays: sums read from a file and put in place.
_COPIES = 2


@dataclass(frozen=True, eq=False)
class SoFar:
    """What the first shards of an influence job amount to.

    Attributes:
        work: what the job computes.
        sums: over the shards.
        from_checkpoint: whether those are of its latest checkpoint.
    """

    work: InfluenceWork
    sums: Sums
    from_checkpoint: bool = False


@dataclass(eq=False)
class _Elsewhere:
    """A job that another server runs, as its checkpoints tell."""

    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    checkpoint: Checkpoint | None = None
    so_far: SoFar | None = None
    read_s: float | None = None


class SoFars:
    """Finds what jobs amount to.

    Args:
        preparation: where jobs are kept, and what they are resolved with.
        memory: what checkpoints that are read take it from.
        live: the job of an id, where it runs here or is followed here.
        is_here: whether it runs here.

    Attributes:
        finder: finds modules in sums.
    """

    def __init__(
        self,
        preparation: Preparation,
        memory: MemoryBudget,
        live: Callable[[str], Live | None],
        is_here: Callable[[str], bool],
    ) -> None:
        self._preparation, self._memory = preparation, memory
        self._live, self._is_here = live, is_here
        self._elsewhere: WeakKeyDictionary[Live, _Elsewhere] = WeakKeyDictionary()
        self.finder = ModulesFinder(memory)

    def close(self) -> None:
        """Ends the threads."""
        self.finder.close()

    def live(self, job_id: str) -> Live | None:
        """The job, where it runs here or is followed here."""
        return self._live(job_id)

    async def of(self, job: Job) -> SoFar:
        """What a job amounts to by now.

        Raises:
            InvalidInput: it is no influence.
            NotReady: none of its shards is done or kept.
            NotFound: its model is not served here.
            TooLarge, Overloaded: there is no memory for its checkpoint.
        """
        require_influence(job)
        live = self._live(job.id)
        if live is not None and (here := _here(live, live.snapshot)) is not None:
            return here
        await self._memory.take_in_call(_reading(job))
        found = await asyncio.to_thread(self._checkpointed, job)
        if found is None:
            raise NotReady(_nothing(live.snapshot.job if live else job), field="name")
        return found

    async def watched(self, live: Live, snapshot: Snapshot) -> SoFar | None:
        """The same for those who watch; None where there is nothing yet."""
        if self._is_here(snapshot.job.id):
            return _here(live, snapshot)
        known = self._elsewhere.setdefault(live, _Elsewhere())
        async with known.reading:
            now_s = time.monotonic()
            if known.read_s is None:
                await self._memory.take_in_call(_reading(snapshot.job))
            elif now_s - known.read_s < _READ_EVERY_S:
                return known.so_far
            else:
                # Another server's shards cannot be timed: they take as long as it goes on.
                live.beside.allowance.earn(now_s - known.read_s)
            known.read_s = now_s
            await asyncio.to_thread(self._renew, known, snapshot.job.id)
        return known.so_far

    def consider_modules(
        self, asked: Asked, question: ModulesQuestion, so_far: SoFar, beside: Beside
    ) -> None:
        """Begins to find modules beside a job, where it is time.

        Args:
            asked: the question, as it stands.
            question: which modules are wanted.
            so_far: in what they are found.
            beside: what bounds the cost.
        """
        material = Material.of(so_far.work.spec, so_far.sums)
        beside.consider(
            asked,
            so_far.sums.shards,
            partial(self.finder.find, question, material),
            takes_s=self.finder.takes_s(question, material),
            turn=self.finder.turn,
        )

    def _renew(self, known: _Elsewhere, job_id: str) -> None:
        job = self._preparation.store.get(job_id)
        if job is not None and job.checkpoint != known.checkpoint:
            known.so_far, known.checkpoint = self._of_row(job), job.checkpoint

    def _checkpointed(self, job: Job) -> SoFar | None:
        row = self._preparation.store.get(job.id)
        return None if row is None else self._of_row(row)

    def _of_row(self, job: Job) -> SoFar | None:
        sums = self._preparation.checkpoints.newest(job)
        if sums is None or not job.plan:
            return None
        spec = parse_spec(job.specification)
        assert isinstance(spec, InfluenceSpec)
        subject, source = self._preparation.resolve(spec)
        work = InfluenceWork(spec, subject, source, stored_plan(job.plan), Cancellation())
        return SoFar(work, sums, from_checkpoint=True)


def require_influence(job: Job) -> None:
    """Refuses a job that has no sums.

    Raises:
        InvalidInput: it is of another analysis.
    """
    if job.analysis != InfluenceSpec.analysis:
        raise InvalidInput(
            f"operation 'operations/{job.id}' computes {job.analysis}; only influence has partial "
            "results",
            field="name",
        )


def _here(live: Live, snapshot: Snapshot) -> SoFar | None:
    if live.work is None or snapshot.sums is None:
        return None
    return SoFar(live.work, snapshot.sums)


def _nothing(job: Job) -> str:
    """Why there is no partial result."""
    name = f"operation 'operations/{job.id}'"
    if job.state.ended:
        return f"{name} is {job.state.name.lower()}, and nothing of it was kept"
    doing = "waits for its turn" if job.state is JobState.QUEUED else "has just begun"
    return (
        f"{name} {doing}: none of its {job.shards_total} shards can be told yet; watch it, or ask "
        "again later"
    )


def _reading(job: Job) -> Need:
    what = f"reading the checkpoint of operations/{job.id}"
    return Need(_COPIES * job.estimate.result_bytes, what, "ask the server that runs it", "name")
