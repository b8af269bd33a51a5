"""Facts about what is shown while one waits, and how values are put in words."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _cli_shell import Shell
from _fake_server import Faults
from graftscope.client import (
    ConfidentLabels,
    Job,
    JobKind,
    JobState,
    Method,
    Progress,
    RelativeError,
    Together,
    Until,
)
from graftscope.client.cli._output import plain
from graftscope.client.cli._progress import Lines, shown
from graftscope.client.display import Advance, of_job, reached, unit_of
from graftscope.client.words import duration, size


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_without_a_terminal_a_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines("influence", "pairs", clock)
    known = ""
    for second in range(12):
        clock.now_s = second
        lines(
            Advance(
                done=200 * second,
                total=4000,
                rate="1,900 hybrids/s",
                eta_s=20 - second,
                known=known,
            )
        )
        known = "48 of 64 labels sure"
    assert capsys.readouterr().err.splitlines() == [
        "influence: 1,000 of 4,000 pairs · 48 of 64 labels sure, 1,900 hybrids/s, 15 s left",
        "influence: 2,000 of 4,000 pairs · 48 of 64 labels sure, 1,900 hybrids/s, 10 s left",
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


def job(progress: Progress, **fields: Any) -> Job:
    """A job of 1,000 pairs."""
    made = dict.fromkeys(each.name for each in dataclasses.fields(Job) if each.name != "attempts")
    kept = {"kind": JobKind.INFLUENCE, "pairs": 1000, "progress": progress}
    return Job(**{**made, **kept, **fields})


def test_a_waiting_job_says_so() -> None:
    waiting = job(Progress(JobState.QUEUED, 0, 32, None, 0.0))
    assert of_job(waiting).words() == "waiting for its turn"
    running = job(Progress(JobState.RUNNING, 4, 32, 90.0, 1234.5))
    assert of_job(running) == Advance(128, 1000, "1,234 hybrids/s", 90.0)
    behind = job(Progress(JobState.QUEUED, 0, 32, None, 0.0, jobs_ahead=3))
    assert of_job(behind).words() == "waiting for 3 jobs before it"
    of_maps = job(Progress(JobState.RUNNING, 4, 9, None, 0.0), kind=JobKind.STABILITY, pairs=0)
    assert (of_job(of_maps), unit_of(of_maps)) == (Advance(4, 9), "shards")


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (ConfidentLabels(0.95), "48 of 64 labels sure"),
        (Together(ConfidentLabels(0.95)), "48 of 64 labels sure"),
        (RelativeError(0.02), "48 of 64 maps known"),
    ],
)
def test_what_a_stopping_rule_knows_is_told(until: Until, expected: str) -> None:
    progress = Progress(JobState.RUNNING, 32, 32, None, 0.0, maps=64, maps_settled=48)
    raced = job(progress, until=until)
    assert of_job(raced).words() == f"· {expected}"
    assert reached(raced) == "1,000 of at most 1,000 pairs"


@pytest.fixture
def every_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each state has a line."""
    monkeypatch.setattr("graftscope.client.cli._progress.EVERY_S", 0.0)


@pytest.mark.usefixtures("every_state")
def test_modules_tells_how_many_labels_are_sure_while_maps_are_computed(
    shell: Shell, server: tuple[str, Faults]
) -> None:
    code, _, err = shell("modules", "--pairs", 3, "--k", 2, "--window", 5)
    assert (code, "influence: 3 of 3 pairs · 4 of 6 labels sure, 100 hybrids/s" in err) == (0, True)
    asked, of_modules = server[1].watched
    assert (asked.partial_modules.k, asked.partial_modules.window) == (2, 5)
    assert not of_modules.HasField("partial_modules")


@pytest.mark.parametrize(
    "arguments", [("modules", "--quiet", "--pairs", 3), ("influence", "--pairs", 3), ("modules",)]
)
def test_nothing_is_asked_that_nobody_sees_or_the_rule_tells(
    shell: Shell, server: tuple[str, Faults], arguments: tuple[object, ...]
) -> None:
    assert shell(*arguments)[0] == 0
    assert not any(each.HasField("partial_modules") for each in server[1].watched)


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
