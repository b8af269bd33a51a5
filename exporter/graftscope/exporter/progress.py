"""What an export says of itself while it runs; showing it is the caller's business."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class ExportStage(Enum):
    """What an export is doing."""

    TRACING = "tracing"
    CUTTING = "cutting"
    WRITING = "writing"
    PROVING = "proving"


@dataclass(frozen=True)
class ExportProgress:
    """One report.

    Attributes:
        stage: What is being done.
        done: How many of the stage's steps are done.
        total: How many there are.
    """

    stage: ExportStage
    done: int
    total: int


class ExportCallback(Protocol):
    """What a caller supplies to hear of progress; an exception it raises stops the export."""

    def __call__(self, progress: ExportProgress, /) -> None:
        """Take one report."""


def ignore_progress(progress: ExportProgress, /) -> None:
    """Take a report and do nothing."""
