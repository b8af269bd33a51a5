"""Facts about progress in notebooks: one line a job, drawn anew, and none for what is quick."""

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from display_toys import JOB
from graftscope.client import Job, JobState
from graftscope.client.display import NotebookProgress, notebook_progress


class Cell:
    """A notebook's cell: what stands in it, and how often it was drawn anew."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.updates = 0
        self.now_s = 0.0

    def display(self, shown: Any, display_id: bool) -> "Cell":
        assert display_id
        self.lines.append(shown._repr_html_())
        return self

    def update(self, shown: Any) -> None:
        self.lines[-1] = shown._repr_html_()
        self.updates += 1

    def progress(self) -> NotebookProgress:
        return NotebookProgress(self.display, clock=lambda: self.now_s)


def at(shards: int, state: JobState = JobState.RUNNING) -> Job:
    progress = replace(JOB.progress, shards_done=shards, state=state)
    return replace(JOB, progress=progress, done=state is JobState.DONE)


def test_a_job_has_one_line_which_is_drawn_anew_and_says_in_the_end_how_long_it_took() -> None:
    cell = Cell()
    progress = cell.progress()
    for step in range(1000):
        cell.now_s = step / 100  # ten seconds, a hundred states a second
        progress.take(at(step * 4 // 1000))
    assert len(cell.lines) == 1
    assert cell.updates <= 50
    assert "96 of 128 pairs 100 hybrids/s, 12 s left" in cell.lines[0]
    assert 'progress value="0.750"' in cell.lines[0]
    progress.end(at(4, JobState.DONE))
    assert "influence of conv1: 128 pairs in 10.0 s" in cell.lines[0]
    assert "<progress" not in cell.lines[0]


def test_what_is_answered_at_once_leaves_the_cell_empty() -> None:
    cell = Cell()
    progress = cell.progress()
    cell.now_s = 0.2
    progress.take(at(4, JobState.DONE))
    progress.end(at(4, JobState.DONE))
    assert cell.lines == []


def test_an_interruption_is_told_even_where_nothing_was_shown_yet() -> None:
    cell = Cell()
    cell.progress().end(at(1), "The wait was interrupted <b>")
    assert "The wait was interrupted &lt;b&gt;" in cell.lines[0]


def test_only_a_notebooks_kernel_has_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert notebook_progress() is None
    cell = Cell()
    for shell, expected in (
        (None, False),
        (SimpleNamespace(), False),  # IPython on a terminal
        (SimpleNamespace(kernel=object()), True),
    ):
        fake = SimpleNamespace(
            get_ipython=lambda shell=shell: shell, display=SimpleNamespace(display=cell.display)
        )
        monkeypatch.setitem(sys.modules, "IPython", fake)
        assert (notebook_progress() is not None) is expected
