"""Interactive calls go ahead of jobs, which keep their share of the workers all the same."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from graftscope.server.engine import Cancellation, Turns
from graftscope.server.errors import Cancelled

TIMEOUT_S = 10.0
LONG_S = 60.0
NO_TIME = 1e-3
"""A share so small that a gate stays shut for the rest of a test."""


@dataclass
class Time:
    """A clock of its own: it goes on while somebody waits, and while a run goes on."""

    now: float = 0.0
    spent: float = 0.0
    waits: list[float] = field(default_factory=list)

    def turns(self, **given: float) -> Turns:
        return Turns(
            clock=lambda: self.now,
            spent=lambda: self.spent,
            wait=self.wait,
            **given,  # type: ignore[arg-type]
        )

    def wait(self, _: threading.Condition, seconds: float | None) -> None:
        assert seconds is not None, "nobody would ever wake it"
        self.now += seconds
        self.waits.append(seconds)

    def run(self, turns: Turns, seconds: float, busy: float = 1.0) -> None:
        """A run that takes so much processor, and longer where others are busy too."""
        with turns.turn(Cancellation()):
            self.spent += seconds
            self.now += seconds * busy


@contextmanager
def waiting_job(turns: Turns, cancellation: Cancellation) -> Iterator[threading.Event]:
    """A job that waits for its turn in another thread; the event says that it goes on."""
    goes_on = threading.Event()

    def work() -> None:
        try:
            with turns.turn(cancellation):
                goes_on.set()
        except Cancelled:
            return

    thread = threading.Thread(target=work)
    thread.start()
    yield goes_on
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def shut(turns: Turns) -> None:
    """Makes a run while somebody asks, so that the next one has to wait."""
    with turns.ahead(), turns.turn(Cancellation()):
        sum(range(1_000_000))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("busy", [1.0, 1.5])
def test_under_constant_calls_a_job_keeps_its_share(share: float, busy: float) -> None:
    time = Time()
    turns = time.turns(share=share)
    turns.enter()
    for _ in range(100):
        time.run(turns, 0.03, busy)
    time.run(turns, 0.0)
    assert time.now == pytest.approx(100 * 0.03 / share)


def test_runs_of_different_lengths_keep_it_too() -> None:
    time = Time()
    turns = time.turns(share=0.25)
    turns.enter()
    for i in range(100):
        time.run(turns, 0.001 * (1 + i % 7))
    time.run(turns, 0.0)
    assert time.spent / time.now == pytest.approx(0.25)


@pytest.mark.parametrize(("workers", "gates"), [(1, 1), (2, 1), (4, 1), (6, 2), (16, 4)])
def test_a_call_meets_no_more_runs_than_the_share_takes(workers: int, gates: int) -> None:
    time = Time()
    turns = time.turns(share=0.25, workers=workers)
    turns.enter()
    assert len(turns._open_from) == gates
    time.run(turns, 1.0)
    # Each gate gives its part, so that all together give a quarter of the workers.
    assert max(turns._open_from) == pytest.approx(gates / (0.25 * workers))


def test_a_run_that_takes_long_makes_the_next_one_wait_no_longer_than_can_be_borne() -> None:
    time = Time()
    turns = time.turns(share=0.01)
    turns.enter()
    for _ in range(2):
        time.run(turns, 10.0)
    assert time.waits == [5.0]


def test_a_run_elsewhere_counts_though_its_thread_slept() -> None:
    time = Time()
    turns = time.turns(share=0.25)
    turns.enter()
    with turns.turn(Cancellation()):
        time.now += 1.0
    time.run(turns, 0.0)
    assert time.now == pytest.approx(2.0)


def test_a_job_does_not_wait_where_nobody_asks() -> None:
    time = Time()
    turns = time.turns(share=NO_TIME, linger_s=LONG_S)
    for _ in range(3):
        time.run(turns, 1.0)
    assert not time.waits


def test_a_job_goes_on_when_the_last_call_has_its_answer() -> None:
    turns = Turns(NO_TIME, linger_s=0)
    shut(turns)
    turns.enter()
    turns.enter()
    with waiting_job(turns, Cancellation()) as goes_on:
        turns.leave()
        assert not goes_on.is_set()
        turns.leave()
        assert goes_on.wait(TIMEOUT_S)


def test_a_job_lingers_for_whoever_asks_one_thing_after_another() -> None:
    time = Time()
    turns = time.turns(share=NO_TIME, linger_s=0.5)
    with turns.ahead():
        time.run(turns, 1.0)
    time.run(turns, 1.0)
    assert time.waits == [0.5]


def test_with_the_whole_share_a_job_never_waits() -> None:
    time = Time()
    turns = time.turns(share=1.0)
    turns.enter()
    for _ in range(3):
        time.run(turns, 1.0)
    assert not time.waits


def test_a_job_that_is_cancelled_stops_waiting() -> None:
    turns, cancellation = Turns(NO_TIME), Cancellation()
    shut(turns)
    with turns.ahead(), waiting_job(turns, cancellation) as goes_on:
        cancellation.cancel()
    assert not goes_on.is_set()
    with pytest.raises(Cancelled), turns.turn(cancellation):
        pass
