"""What a check finds, in one line, and what to do about it in another.

It needs nothing that an extra brings.
"""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """A server would start, but something is wrong or soon will be."""
    PROBLEM = "problem"
    """A server would not start, or would not work."""
    SKIPPED = "skipped"
    """There is nothing to look at, or it cannot be looked at."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        status: how bad it is.
        found: what is there, in one line.
        advice: what to do, in one line; empty where all is well.
        check: whose finding it is.
        seconds: from the check's beginning to this finding.
    """

    status: Status
    found: str
    advice: str = ""
    check: str = ""
    seconds: float = 0.0


class NothingToCheck(Exception):
    """Raised by a check that cannot look, or has nothing to look at; says why."""


def ok(found: str) -> Finding:
    """All is well."""
    return Finding(Status.OK, found)


def warning(found: str, advice: str) -> Finding:
    """A server would start, but something is wrong or soon will be."""
    return Finding(Status.WARNING, found, advice)


def problem(found: str, advice: str) -> Finding:
    """A server would not start, or would not work."""
    return Finding(Status.PROBLEM, found, advice)


def skipped(found: str, advice: str = "") -> Finding:
    """Nothing was looked at."""
    return Finding(Status.SKIPPED, found, advice)
