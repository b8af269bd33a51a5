"""The actors of a cluster: who is there, who is free, who is asked instead of one that is lost."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import uuid4

from ray import exceptions

from graftscope.server.engine import Cancellation
from graftscope.server.errors import ClusterUnavailable, ServerError, WorkerLost
from graftscope.server.executors.cluster._facts import Facts, require_equal
from graftscope.server.executors.cluster._node import Told
from graftscope.server.logs import get_logger

IN_FLIGHT = 2
"""Calls at an actor: one that goes on, and one that is there when it ends."""

MOST_LOST = 5
"""So often the actors may be lost that one call is asked of."""

_LOOK_AGAIN_S = 1.0
_CONTROL = "control"

LOST = (
    exceptions.RayActorError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.LocalRayletDiedError,
    exceptions.OutOfMemoryError,
    exceptions.ObjectLostError,
)
"""What is raised of a call whose actor, or whose actor's machine, is gone for now."""

# Ray is not typed as strictly: a handle of an actor, and references to what its calls give.
Actor: TypeAlias = Any
Ref: TypeAlias = Any

Ask = Callable[[Actor, str], tuple[Ref, Ref]]
"""Asks an actor for a call of this name: how it goes, and what it gives."""

_log = get_logger("cluster")


@dataclass(eq=False)
class _Member:
    """An actor: what it was seen to be, and how many calls it has."""

    actor: Actor
    host: str = ""
    ready: bool = False
    calls: int = 0


class Members:
    """Makes calls at actors, those first that have the fewest.

    Args:
        actors: at least one; all of them were started to be started again.
        ours: of this machine, to which theirs must be equal.
    """

    def __init__(self, actors: Sequence[Actor], ours: Facts) -> None:
        self._ours = ours
        self._members = [_Member(actor) for actor in actors]
        self._changed = threading.Condition()
        self._refused: ClusterUnavailable | None = None
        self._closed = False
        for member in self._members:
            self._look_at(member)

    def __len__(self) -> int:
        return len(self._members)

    @property
    def ready(self) -> int:
        """How many are there."""
        return sum(member.ready for member in self._members)

    def wait(self, timeout_s: float) -> None:
        """Waits until all are there, or so long.

        Raises:
            ClusterUnavailable: a machine has other versions, or none has answered.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._refused or self.ready == len(self._members), timeout_s
            )
            if self._refused:
                raise self._refused
            if not self.ready:
                raise ClusterUnavailable(
                    f"no node of the cluster has started a worker within {timeout_s:g} s: each "
                    "needs a free core (or GPU), and the same Graftscope as this machine, with the "
                    "extra server and Ray, in the Python that runs `ray start`"
                )

    def call(self, cancellation: Cancellation, ask: Ask) -> tuple[Told, Ref]:
        """Makes a call at whichever actor is free; blocks.

        Args:
            cancellation: what may stop it.
            ask: asks an actor.

        Returns:
            How it went, and a reference to what it gave.

        Raises:
            Cancelled: it was stopped.
            WorkerLost: too many actors were lost that it was asked of.
        """
        for _ in range(MOST_LOST):
            member, name = self._take(cancellation), uuid4().hex
            try:
                told_ref, value_ref = ask(member.actor, name)
                told = self._told(member, name, told_ref, cancellation)
            except LOST as error:
                self._lost(member, error)
                cancellation.check()
                continue
            if told.error is not None:
                cancellation.check()
                raise told.error
            return told, value_ref
        raise WorkerLost(
            f"{MOST_LOST} workers of the cluster were lost one after the other while they computed "
            "the same piece of a job, most likely for want of memory: give nodes more, or fewer "
            "cores (`ray start --num-cpus`), or ask for smaller maps or fewer channels"
        )

    def close(self) -> None:
        """Looks at none any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _told(self, member: _Member, name: str, ref: Ref, cancellation: Cancellation) -> Told:
        """How a call goes, once that is known; a cancel is passed on, and not waited for."""
        answered: Future[Told] = ref.future()
        answered.add_done_callback(lambda _: self._give_back(member))
        with _passed_on(cancellation, member, name) as stopped:
            answered.add_done_callback(lambda _: stopped.set())
            stopped.wait()
        cancellation.check()
        return answered.result()

    def _take(self, cancellation: Cancellation) -> _Member:
        woken = cancellation.child(self._wake)
        with self._changed:
            while True:
                cancellation.check()
                free = [x for x in self._members if x.ready and x.calls < IN_FLIGHT]
                if free:
                    member = min(free, key=lambda x: x.calls)
                    member.calls += 1
                    del woken
                    return member
                self._changed.wait()

    def _give_back(self, member: _Member) -> None:
        with self._changed:
            member.calls -= 1
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _lost(self, member: _Member, error: Exception) -> None:
        """Asks nothing of an actor until it answers again."""
        with self._changed:
            was_ready, member.ready = member.ready, False
        if was_ready:
            why = str(error).strip().splitlines()
            _log.warning("worker lost", host=member.host, why=why[0] if why else type(error))
            self._look_at(member)

    def _look_at(self, member: _Member) -> None:
        """Has an actor say what it is, as soon as it can: Ray starts it where there is room."""
        if not self._closed:
            member.actor.facts.remote().future().add_done_callback(
                lambda answered: self._seen(member, answered)
            )

    def _seen(self, member: _Member, answered: "Future[Facts]") -> None:
        try:
            facts = answered.result()
            require_equal(facts, self._ours)
        except ClusterUnavailable as error:
            self._refuse(error)
        except Exception:
            again = threading.Timer(_LOOK_AGAIN_S, self._look_at, [member])
            again.daemon = True
            again.start()
        else:
            if facts.processor != self._ours.processor:
                _log.warning("another processor: last bits may differ", host=facts.host)
            with self._changed:
                member.host, member.ready = facts.host, True
                self._changed.notify_all()

    def _refuse(self, error: ServerError) -> None:
        _log.error("worker refused", why=str(error))
        with self._changed:
            self._refused = ClusterUnavailable(str(error), field="executor")
            self._changed.notify_all()


@contextmanager
def _passed_on(cancellation: Cancellation, member: _Member, name: str) -> Iterator[threading.Event]:
    """An event that a cancel sets, once it was passed on to the actor."""
    stopped = threading.Event()

    def stop() -> None:
        try:
            member.actor.cancel.options(concurrency_group=_CONTROL).remote(name)
        finally:
            stopped.set()

    held = cancellation.child(stop)
    try:
        yield stopped
    finally:
        del held
