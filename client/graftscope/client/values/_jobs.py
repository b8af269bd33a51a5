"""The analyses that there are, the jobs that they become on a server, and how far those are."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from graftscope.client.arrays import Displayed
from graftscope.client.values._faithfulness import FaithfulnessResult, FaithfulnessTask
from graftscope.client.values._independence import IndependenceResult, IndependenceTask
from graftscope.client.values._influence import InfluenceResult, InfluenceTask
from graftscope.client.values._layers import LayersResult
from graftscope.client.values._magnitude import MagnitudeResult, MagnitudeTask
from graftscope.client.values._modules import AsyncModules, ModulesResult, ModulesTask
from graftscope.client.values._probe import ProbeResult, ProbeTask
from graftscope.client.values._reach import ReachResult, ReachTask
from graftscope.client.values._so_far import SoFar
from graftscope.client.values._stability import StabilityResult, StabilityTask
from graftscope.client.values._stopping import Until

Task: TypeAlias = (
    InfluenceTask
    | ModulesTask
    | StabilityTask
    | MagnitudeTask
    | IndependenceTask
    | ReachTask
    | ProbeTask
    | FaithfulnessTask
)
"""Whatever can be asked for as a job."""

HybridTask: TypeAlias = (
    InfluenceTask | MagnitudeTask | IndependenceTask | ReachTask | ProbeTask | FaithfulnessTask
)
"""A task that makes hybrids, whose cost the server estimates."""

AnalysisResult: TypeAlias = (
    InfluenceResult
    | LayersResult
    | ModulesResult
    | StabilityResult
    | MagnitudeResult
    | IndependenceResult
    | ReachResult
    | ProbeResult
    | FaithfulnessResult
)
"""Whatever an analysis answers."""

AsyncAnalysisResult: TypeAlias = (
    InfluenceResult
    | LayersResult
    | AsyncModules
    | StabilityResult
    | MagnitudeResult
    | IndependenceResult
    | ReachResult
    | ProbeResult
    | FaithfulnessResult
)
"""The same of an `AsyncClient`."""

SHARD_PAIRS = 32
"""Pairs in a shard of influence maps."""


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class JobKind(StrEnum):
    """Which analysis a job computes."""

    INFLUENCE = "influence"
    MODULES = "modules"
    STABILITY = "stability"
    MAGNITUDE = "magnitude"
    FAITHFULNESS = "faithfulness"
    INDEPENDENCE = "independence"
    REACH = "reach"
    PROBE = "probe"


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Args:
        state: Where it stands.
        shards_done: Shards finished. One is 32 pairs of influence maps, a magnitude's too, one
            number of modules by one method of a stability, or one piece of what a module is worth.
        shards_total: Shards in all; the most that there can be where the job has a stopping rule.
        eta_s: Seconds still to go; None before the first shard. With a rule of relative standard
            errors as these foretell it; with one of labels the most that it can be.
        hybrids_per_second: Since the job was started or resumed.
        jobs_ahead: How many jobs of the same caller a queued one waits for.
        maps: Where a stopping rule looks at single maps, and has done so, how many there are; else
            0.
        maps_settled: How many of them are known well enough: those get no more pairs, unless all
            maps go on together.
    """

    state: JobState
    shards_done: int
    shards_total: int
    eta_s: float | None
    hybrids_per_second: float
    jobs_ahead: int = 0
    maps: int = 0
    maps_settled: int = 0


ProgressCallback: TypeAlias = Callable[[Progress], None]
"""What hears of progress: the whole state at once, then each change."""


@dataclass(frozen=True)
class Estimate:
    """What a job is going to cost; with a stopping rule at most.

    Args:
        duration_s: Seconds; None until it is known, for a job whose plan is found in its turn.
        hybrids: Hybrids to generate.
        result_bytes: Size of the result arrays.
    """

    duration_s: float | None
    hybrids: int
    result_bytes: int


@dataclass(frozen=True)
class Job(Displayed):
    """An operation of the server.

    Args:
        name: ``operations/ID``; empty for an estimate that started nothing.
        kind: Which analysis it computes.
        model: The model's name; empty for analyses of maps that were sent.
        layer: The layer as it was asked for, or several with commas; empty for analyses of maps.
        progress: How far it is.
        estimate: What it was expected to cost; None where nothing was estimated.
        model_digest: The model's version that it is bound to.
        identity: sha256 of everything that the result depends on.
        created: When it was first asked for.
        ended: When it was done, failed or cancelled.
        expires: When its result may be forgotten.
        done: Whether it has ended, in whatever way.
        error: Why it failed, empty otherwise.
        until: What may end it early; None without such a rule.
        owner: Who asked for it; empty where the server asks nobody who they are.
        shared: Whether everybody whom the server knows sees it too.
        attempts: How many times it was taken up: more than once where a server ended, or fell
            silent, while it had the job.
        pairs: How many pairs of originals an influence job takes, with a stopping rule at most; 0
            for jobs of other kinds.
        maps: sha256 of the maps that an influence job gave, once it is done, or that modules or
            stability are asked of: it tells which jobs belong together. Empty otherwise.
        so_far: What it has come to, in a watch that asked for that; else None.
    """

    name: str
    kind: JobKind
    model: str
    layer: str
    progress: Progress
    estimate: Estimate | None
    model_digest: str
    identity: str
    created: datetime | None
    ended: datetime | None
    expires: datetime | None
    done: bool
    error: str
    until: Until | None = None
    owner: str = ""
    shared: bool = False
    attempts: int = 1
    pairs: int = 0
    maps: str = ""
    so_far: SoFar | None = None

    @property
    def pairs_done(self) -> int:
        """How many of these it is through with; of the map that has had the most."""
        return min(self.progress.shards_done * SHARD_PAIRS, self.pairs)
