"""A job as it is kept: what was asked, how far it is, who works on it, and what it came to."""

import time
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, TypeAlias

from graftscope.server.jobs._artifact_store import ArrayRef

Json: TypeAlias = "str | int | float | list[Json] | dict[str, Json]"
"""What a result keeps beside its arrays."""


class JobState(IntEnum):
    """Where a job stands; the numbers are the contract's."""

    QUEUED = 1
    RUNNING = 2
    DONE = 3
    CANCELLED = 4
    FAILED = 5

    @property
    def ended(self) -> bool:
        """Whether the job will not change any more."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class Estimate:
    """What a job will take.

    Attributes:
        duration_s: seconds with all workers; None until a plan is chosen.
        hybrids: how many are computed.
        result_bytes: size of the result arrays.
    """

    duration_s: float | None
    hybrids: int
    result_bytes: int


@dataclass(frozen=True)
class Result:
    """What a job gave.

    Attributes:
        arrays: by the field's name in the operation's response.
        scalars: the response's other fields.
    """

    arrays: dict[str, ArrayRef] = field(default_factory=dict)
    scalars: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a stable reason and one line."""

    reason: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """What a job came to."""

    state: JobState
    result: Result | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A file with the sums over the first shards, and its sha256."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Job:
    """A job as it stands.

    Attributes:
        id: part of the operation's name.
        analysis: as the specification says: influence, modules, faithfulness, ...
        specification: canonical JSON.
        identity: its sha256.
        model: name of the model, for people; the specification holds the digest.
        plan: how it is computed, as JSON; {} where nothing is to be chosen.
        shards_total: how many pieces of work.
        shards_done: how many are in the ordered prefix that is done.
        checkpoint: the sums so far.
        checkpoint_before: earlier ones, for where the file of the others is damaged.
        created_s, ended_s, expires_s: seconds since 1970.
        owner: whose it is; '' where the server asks nobody who they are.
        shared: whether others may see it too.
        attempts: how many times it was taken up, by this server or another.
        crashes: how many of them ended with their process while it ran, since its sums last grew.
        fence: which attempt may write: one that is smaller than the row's has lost the job.
        server: who works on it; '' for nobody.
        cancel_asked: whether it was asked to stop, at whichever server.
        wanted: whether somebody asked for it for its own sake, at whichever server.
    """

    id: str
    analysis: str
    specification: str
    identity: str
    model: str
    plan: dict[str, Any]
    estimate: Estimate
    shards_total: int
    shards_done: int = 0
    state: JobState = JobState.QUEUED
    checkpoint: Checkpoint | None = None
    checkpoint_before: Checkpoint | None = None
    result: Result | None = None
    failure: Failure | None = None
    created_s: float = 0.0
    ended_s: float | None = None
    expires_s: float | None = None
    owner: str = ""
    shared: bool = False
    attempts: int = 1
    crashes: int = 0
    fence: int = 0
    server: str = ""
    cancel_asked: bool = False
    wanted: bool = True

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """What there is of checkpoints, the newest first."""
        both = (self.checkpoint, self.checkpoint_before)
        return tuple(each for each in both if each is not None)


UNENDED = (JobState.QUEUED, JobState.RUNNING)
"""The states of jobs that are still to be worked on."""


def end(job: Job, outcome: Outcome, keep_s: float) -> Job:
    """The job in its last state, with its times filled in; nobody works on it any more."""
    # A clock may have been set back meanwhile.
    now = max(time.time(), job.created_s)
    return replace(job, **vars(outcome), ended_s=now, expires_s=now + keep_s, server="")
