"""Interactive calls go ahead of jobs, for so long and no longer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from graftscope.server.engine import Cancellation, Turns
from graftscope.server.errors import Cancelled

TIMEOUT_S = 10.0
LONG_S = 60.0
SHORT_S = 0.05


@contextmanager
def waiting_job(turns: Turns, cancellation: Cancellation) -> Iterator[threading.Event]:
    """A job that waits for its turn in another thread; the event says that it goes on."""
    goes_on = threading.Event()

    def work() -> None:
        try:
            turns.wait(cancellation)
        except Cancelled:
            return
        goes_on.set()

    thread = threading.Thread(target=work)
    thread.start()
    yield goes_on
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def test_a_job_does_not_wait_where_nobody_asks() -> None:
    Turns(LONG_S, linger_s=LONG_S).wait(Cancellation())


def test_a_job_goes_on_when_the_last_call_has_its_answer() -> None:
    turns = Turns(LONG_S, linger_s=0)
    turns.enter()
    turns.enter()
    with waiting_job(turns, Cancellation()) as goes_on:
        turns.leave()
        assert not goes_on.is_set()
        turns.leave()
        assert goes_on.wait(TIMEOUT_S)


def test_a_job_lingers_for_whoever_asks_one_thing_after_another() -> None:
    now = [0.0]
    turns = Turns(LONG_S, linger_s=5.0, clock=lambda: now[0])
    with turns.ahead():
        pass
    assert not turns._is_quiet()
    now[0] = 5.0
    turns.wait(Cancellation())


def test_a_job_waits_no_longer_than_its_patience() -> None:
    turns = Turns(SHORT_S)
    with turns.ahead(), waiting_job(turns, Cancellation()) as goes_on:
        assert goes_on.wait(TIMEOUT_S)
        assert turns.going_on == 1


def test_without_patience_a_job_never_waits() -> None:
    turns = Turns(patience_s=0)
    with turns.ahead():
        turns.wait(Cancellation())


def test_a_job_that_is_cancelled_stops_waiting() -> None:
    turns, cancellation = Turns(LONG_S), Cancellation()
    with turns.ahead(), waiting_job(turns, cancellation) as goes_on:
        cancellation.cancel()
    assert not goes_on.is_set()
    with pytest.raises(Cancelled):
        turns.wait(cancellation)
