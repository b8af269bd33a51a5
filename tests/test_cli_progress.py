"""Facts about what is shown while one waits, and how values are put in words."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from graftscope.client import JobState, Method, Progress
from graftscope.client.cli._output import duration, plain, size
from graftscope.client.cli._progress import Advance, Lines, of_job, shown


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_without_a_terminal_a_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines("influence", "shards", clock)
    for second in range(12):
        clock.now_s = second
        lines(Advance(done=second, total=32, rate="1,900 hybrids/s", eta_s=20 - second))
    assert capsys.readouterr().err.splitlines() == [
        "influence: 5 of 32 shards, 1,900 hybrids/s, 15 s left",
        "influence: 10 of 32 shards, 1,900 hybrids/s, 10 s left",
    ]


def test_a_new_stage_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("export", "done", Clock())
    lines(Advance(done=0, total=4, stage="cutting"))
    lines(Advance(done=1, total=4, stage="cutting"))
    lines(Advance(done=0, total=0, stage="proving"))
    assert capsys.readouterr().err.splitlines() == [
        "export: cutting: 0 of 4 done",
        "export: proving: 0 done",
    ]


def test_a_terminal_gets_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with shown("influence", "shards") as show:
        show(Advance(done=3, total=32, rate="1,900 hybrids/s", eta_s=12.0, stage="running"))
    told = capsys.readouterr()
    assert told.out == ""
    assert "3/32" in told.err


def test_a_waiting_job_says_so() -> None:
    progress = Progress(JobState.QUEUED, 0, 32, None, 0.0)
    assert of_job(progress).words() == "waiting for its turn"
    running = Progress(JobState.RUNNING, 4, 32, 90.0, 1234.5)
    assert of_job(running) == Advance(4, 32, "1,234 hybrids/s", 90.0)
    behind = Progress(JobState.QUEUED, 0, 32, None, 0.0, jobs_ahead=3)
    assert of_job(behind).words() == "waiting for 3 jobs before it"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (180, "3 min"), (9000, "2.5 h")],
)
def test_durations_are_told_in_the_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (4_200, "4.2 kB"), (4.2e6, "4.2 MB"), (4.2e12, "4200.0 GB")],
)
def test_sizes_are_told_in_the_unit_that_fits(count: float, words: str) -> None:
    assert size(count) == words


def test_everything_becomes_plain_json() -> None:
    document = {
        "array": np.array([1.0, np.nan]),
        "number": np.int64(3),
        "infinite": float("-inf"),
        "method": Method.NMF,
        "path": Path("a/b"),
        "time": datetime(2024, 5, 6, tzinfo=UTC),
        "many": (1, "two", None, True),
    }
    assert plain(document) == {
        "array": [1.0, None],
        "number": 3,
        "infinite": None,
        "method": "nmf",
        "path": "a/b",
        "time": "2024-05-06T00:00:00+00:00",
        "many": [1, "two", None, True],
    }
