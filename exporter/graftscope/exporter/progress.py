"""What an export says of itself while it runs, and what libraries do not say meanwhile.

Showing it is the caller's business.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class ExportStage(Enum):
    """What an export is doing."""

    TRACING = "tracing"
    ENCODING = "encoding"
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


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Let loggers, and those below them, say nothing while the block runs.

    Args:
        loggers: Their names.
    """
    given = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in given]
    for logger in given:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(given, levels, strict=True):
            logger.setLevel(level)
