"""How much memory a server may use, and who has how much of it.

What a request will take is reckoned before anything is allocated. What can never be had is refused
with both numbers; what cannot be had now waits, calls for a moment and jobs for their turn. It must
not know what requests are.
"""

import asyncio
import ctypes
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from graftscope.server.engine._machine_memory import machine_bytes, resident_bytes
from graftscope.server.errors import InvalidInput, Overloaded, TooLarge
from graftscope.server.logs import get_logger, tells_details
from graftscope.server.tally import Counts, Tally

MIB = 2**20
GIB = 2**30

# Of what the machine has; the rest is the system's, and what reckoning misses.
_SHARE = 0.75
_LEAST_BYTES = 256 * MIB

# A call waits for so long, among calls that would take no more than there is in all.
_CALL_WAITS_S = 5.0
_RETRY_AFTER_S = 1.0

# What is given back in so large pieces is worth asking the allocator for.
_TRIMMED_BYTES = 32 * MIB


_log = get_logger("engine")


@dataclass(frozen=True)
class Need:
    """What something will take.

    Attributes:
        bytes: of memory, at its peak.
        what: takes it, for messages: "1800 pairs of hybrids".
        instead: what takes less, for messages: "ask for fewer pairs".
        field: the request's field that decides it, if one does.
    """

    bytes: int
    what: str
    instead: str
    field: str = ""


@dataclass(eq=False)
class _Waiting:
    need: Need
    loop: asyncio.AbstractEventLoop
    admitted: "asyncio.Future[None]"
    has_it: bool = False

    def admit(self) -> None:
        self.has_it = True
        self.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if not self.admitted.done():
            self.admitted.set_result(None)


class MemoryBudget:
    """The memory of a server, divided among calls, jobs and open sessions.

    Args:
        limit_bytes: what the process may use in all; by default three quarters of what the machine
            or its control group has.
        base_bytes: what it takes before anything is asked of it; by default what it takes now.

    Attributes:
        limit_bytes: likewise.
        room_bytes: what requests and sessions may take of it.
        grants: counts what was given to calls and jobs, and that it was given back.
        refused: how many needs were refused, by why.

    Raises:
        InvalidInput: the limit leaves no room.
    """

    def __init__(self, limit_bytes: int | None = None, base_bytes: int | None = None) -> None:
        base = resident_bytes() if base_bytes is None else base_bytes
        if limit_bytes is not None and limit_bytes < base + _LEAST_BYTES:
            raise InvalidInput(
                f"memory_gib {limit_bytes / GIB:.2g} (--memory) is not allowed: the server takes "
                f"{base / GIB:.2f} GiB before anything is asked of it, so it must be at least "
                f"{(base + _LEAST_BYTES) / GIB:.2f}",
                field="memory_gib",
            )
        self.limit_bytes = limit_bytes or max(int(_SHARE * machine_bytes()), base + _LEAST_BYTES)
        self.room_bytes = self.limit_bytes - base
        self.grants, self.refused = Tally(), Counts[str]()
        self._lock = threading.Lock()
        self._of_calls = self._of_jobs = self._of_sessions = 0
        self._of_tasks: WeakKeyDictionary[asyncio.Task[object], int] = WeakKeyDictionary()
        self._calls: deque[_Waiting] = deque()
        self._jobs: deque[_Waiting] = deque()
        self._reclaim: Callable[[int], object] = lambda missing: None

    @property
    def held_bytes(self) -> int:
        """What calls and jobs hold now."""
        return self._of_calls + self._of_jobs

    @property
    def held_by(self) -> Mapping[str, int]:
        """What each kind holds now, in bytes."""
        return {"calls": self._of_calls, "jobs": self._of_jobs, "sessions": self._of_sessions}

    @property
    def waiting(self) -> Mapping[str, int]:
        """How many of each kind wait for memory."""
        return {"calls": len(self._calls), "jobs": len(self._jobs)}

    @property
    def free_bytes(self) -> int:
        """What nobody has."""
        return self.room_bytes - self.held_bytes - self._of_sessions

    def reclaim_by(self, reclaim: Callable[[int], object]) -> None:
        """Says who gives memory back: called with the bytes that are missing, in any thread."""
        self._reclaim = reclaim

    def sessions_hold(self, number: int) -> None:
        """Tells what open sessions hold by now; from any thread."""
        with self._lock:
            less = number < self._of_sessions
            self._of_sessions = number
            if less:
                self._admit_waiting()

    def check(self, need: Need) -> None:
        """Refuses what could not be had even if nothing else went on.

        Raises:
            TooLarge: says how much it would take, how much there is, and what takes less.
        """
        if need.bytes > self.room_bytes:
            self.refused.add("never")
            raise TooLarge(
                f"{need.what} would take {said(need.bytes)} of memory; the server's limit is "
                f"{said(self.limit_bytes)}, of which {said(self.room_bytes)} are left for "
                f"requests; {need.instead}",
                field=need.field,
            )

    async def take_in_call(self, need: Need) -> None:
        """Takes memory until the task that asks, a call's, is over.

        Raises:
            TooLarge: it cannot be had at all.
            Overloaded: it cannot be had now, and more calls wait than there is memory for, or
                waiting for a moment has not helped.
        """
        task = asyncio.current_task()
        assert task is not None
        mine = self._of_tasks.get(task, 0)
        # Nobody else can give back what the call itself has.
        self.check(replace(need, bytes=need.bytes + mine))
        await self._take_for_call(need)
        self._of_tasks[task] = mine + need.bytes
        self._tell(need)
        task.add_done_callback(lambda _: self._give_back(need, job=False))

    @asynccontextmanager
    async def held_in_call(self, need: Need) -> AsyncIterator[None]:
        """Holds memory of a call for as long as the block lasts. Raises as `take_in_call`."""
        await self._take_for_call(need)
        self._tell(need)
        try:
            yield
        finally:
            self._give_back(need, job=False)

    async def take_for_job(self, need: Need) -> Callable[[], None]:
        """Takes memory for a job; waits for it, behind jobs that came first.

        Returns:
            What gives it back, to be called once.

        Raises:
            TooLarge: it cannot be had at all.
        """
        self.check(need)
        if not self._try(need, job=True):
            await self._wait(need, self._jobs, job=True)
        self._tell(need)
        return lambda: self._give_back(need, job=True)

    def _tell(self, need: Need) -> None:
        if not tells_details("engine"):
            return
        held, sessions = self.held_bytes, self._of_sessions
        _log.debug("memory", what=need.what, bytes=need.bytes, held=held, sessions=sessions)

    async def _take_for_call(self, need: Need) -> None:
        self.check(need)
        if self._try(need, job=False):
            return
        with self._lock:
            waiting = sum(each.need.bytes for each in self._calls)
        if waiting + need.bytes > self.room_bytes:
            raise self._overloaded(need)
        try:
            async with asyncio.timeout(_CALL_WAITS_S):
                await self._wait(need, self._calls, job=False)
        except TimeoutError as error:
            raise self._overloaded(need) from error

    def _overloaded(self, need: Need) -> Overloaded:
        self.refused.add("full")
        return Overloaded(
            f"{need.what} would take {said(need.bytes)} of memory, and of the server's "
            f"{said(self.limit_bytes)} what goes on already leaves too little; ask again later",
            retry_after_s=_RETRY_AFTER_S,
        )

    async def _wait(self, need: Need, queue: deque[_Waiting], *, job: bool) -> None:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(need, loop, loop.create_future())
        with self._lock:
            queue.append(waiting)
            # What was given back since it was tried.
            self._admit_waiting()
        try:
            await waiting.admitted
        except BaseException:
            self._leave(waiting, queue, job=job)
            raise

    def _leave(self, waiting: _Waiting, queue: deque[_Waiting], *, job: bool) -> None:
        with self._lock:
            if not waiting.has_it:
                queue.remove(waiting)
                self._admit_waiting()
                return
        self._give_back(waiting.need, job=job)

    def _try(self, need: Need, *, job: bool) -> bool:
        """Takes memory if it is there, or can be had from sessions that nobody uses."""
        for is_last in (False, True):
            with self._lock:
                queue = self._jobs if job else self._calls
                if not queue and self._fits(need, job=job):
                    self._give(need, job=job)
                    return True
                missing = need.bytes - self.free_bytes
            if missing <= 0 or is_last:
                return False
            self._reclaim(missing)
        return False

    def _fits(self, need: Need, *, job: bool) -> bool:
        if not job and self._jobs:
            # Calls leave the next job what it needs, or many small ones would keep it out for ever.
            left = self.room_bytes - self._jobs[0].need.bytes - self._of_calls
            return need.bytes <= min(left, self.free_bytes)
        return need.bytes <= self.free_bytes

    def _admit_waiting(self) -> None:
        """Lets those in for whom there is room, each queue in its order; the lock is held."""
        for queue, job in ((self._calls, False), (self._jobs, True)):
            while queue and self._fits(queue[0].need, job=job):
                waiting = queue.popleft()
                self._give(waiting.need, job=job)
                waiting.admit()

    def _missing(self) -> int:
        """What the next of those that wait lacks; the lock is held."""
        following = [queue[0].need.bytes for queue in (self._jobs, self._calls) if queue]
        return min(following, default=0) - self.free_bytes if following else 0

    def _give(self, need: Need, *, job: bool) -> None:
        self.grants.create()
        self._add(need.bytes, job=job)

    def _add(self, number: int, *, job: bool) -> None:
        if job:
            self._of_jobs += number
        else:
            self._of_calls += number

    def _give_back(self, need: Need, *, job: bool) -> None:
        self.grants.release()
        with self._lock:
            self._add(-need.bytes, job=job)
            self._admit_waiting()
            missing = self._missing()
        if missing > 0:
            self._reclaim(missing)
        if need.bytes >= _TRIMMED_BYTES:
            threading.Thread(target=_trim, name="trim", daemon=True).start()


def said(number: int) -> str:
    """Bytes as people say them."""
    return f"{number / GIB:.1f} GiB" if number >= GIB else f"{number / MIB:.0f} MiB"


def _trim() -> None:
    """Has glibc give back what it keeps of freed memory: it does so by itself only at its end."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # Other C libraries have none.
        if trim is not None:
            trim(0)
