"""What does not fit is refused at once; whoever calls has a part; nobody is worked for in vain."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from graftscope.server.access import Work
from graftscope.server.errors import Overloaded, TimedOut
from graftscope.server.rpc import Admission, Limits


@dataclass
class _Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def _admission(interactive: int = 8, side_by_side: int = 2) -> tuple[Admission, _Clock]:
    clock = _Clock()
    return Admission(
        Limits(interactive, side_by_side, watches=4, jobs=4, transfers=4), clock
    ), clock


@contextmanager
def _calls(admission: Admission, count: int, share: str) -> Iterator[None]:
    """So many interactive calls that go on."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(admission.admitted(Work.INTERACTIVE, share, None))
        yield


def _refused(admission: Admission, share: str, left_s: float | None = None) -> Overloaded:
    with (
        pytest.raises(Overloaded) as caught,
        admission.admitted(Work.INTERACTIVE, share, left_s),
    ):
        pass
    return caught.value


def _answered(admission: Admission, clock: _Clock, count: int, each_s: float) -> None:
    """So many calls one after the other, each of which takes so long."""
    for _ in range(count):
        with _calls(admission, 1, "a"):
            clock.now_s += each_s


def test_a_caller_alone_has_three_quarters_and_the_rest_is_free_for_the_next() -> None:
    admission, _ = _admission()
    with _calls(admission, 6, "a"):
        error = _refused(admission, "a")
        assert "6 of your calls" in str(error)
        assert "at most 6 of 8" in str(error)
        with _calls(admission, 2, "b"):
            assert "8 calls" in str(_refused(admission, "c"))
    assert admission.going_on(Work.INTERACTIVE) == 0


def test_beside_others_a_caller_has_an_equal_part() -> None:
    admission, _ = _admission()
    with _calls(admission, 4, "a"), _calls(admission, 1, "b"):
        assert "beside 1 other callers" in str(_refused(admission, "a"))
        with _calls(admission, 3, "b"):
            pass


def test_a_refusal_tells_a_time_in_the_pace_of_the_answers() -> None:
    admission, clock = _admission()
    _answered(admission, clock, 20, each_s=0.5)
    with _calls(admission, 6, "a"):
        waits = [_refused(admission, "a").retry_after_s for _ in range(4)]
    assert waits == pytest.approx([0.55, 1.05, 1.55, 2.05], rel=1e-3)


def test_a_time_is_told_of_half_a_minute_at_most() -> None:
    admission, clock = _admission()
    _answered(admission, clock, 20, each_s=100)
    with _calls(admission, 6, "a"):
        assert _refused(admission, "a").retry_after_s == 30


def test_a_call_whose_turn_would_come_after_its_deadline_is_refused_early() -> None:
    admission, clock = _admission()
    _answered(admission, clock, 20, each_s=0.5)
    with _calls(admission, 5, "a"):  # Two run and three wait: a second and a half.
        assert "the deadline is in 1 s" in str(_refused(admission, "a", left_s=1.0))
        with admission.admitted(Work.INTERACTIVE, "a", 2.0):
            pass


def test_a_call_whose_deadline_has_passed_is_not_begun() -> None:
    admission, _ = _admission()
    with pytest.raises(TimedOut), admission.admitted(Work.CONTROL, "a", 0.0):
        pass


def test_looking_up_and_stopping_are_always_answered() -> None:
    admission, _ = _admission()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(admission.admitted(Work.CONTROL, "a", None))
        for work in (Work.INTERACTIVE, Work.JOB, Work.TRANSFER, Work.WATCH):
            stack.enter_context(admission.admitted(work, "a", None))


def test_what_raises_has_ended_too() -> None:
    admission, _ = _admission()
    with pytest.raises(ValueError, match="no"), admission.admitted(Work.JOB, "a", None):
        raise ValueError("no")
    assert admission.going_on(Work.JOB) == 0
