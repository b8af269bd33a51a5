"""Analyses as tasks to start, and the jobs that they become."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client._originals import Originals


class Method(StrEnum):
    """How channels are grouped into modules (section 3.3)."""

    NMF = "nmf"
    KMEANS = "kmeans"
    PCA = "pca"


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


@dataclass(frozen=True, eq=False)
class InfluenceTask:
    """Influence maps to compute (section 3.2, equation 3).

    Args:
        model: The model's name, with ``@DIGEST`` to insist on one version.
        layer: A layer's name or a level's.
        channels: Which channels' maps, each by itself; None for every channel of the layer.
        labels: (C,) module of every channel, -1 for none: maps of modules instead of channels.
        pairs: How many pairs of originals, at least 1; ignored where `originals` holds pairs.
        seed: Any number in [0, 2^32): decides the pairs.
        first: Index of the first pair; ranges that do not overlap give independent pairs.
        originals: Where the pairs come from; None for `Encoded` where there is an encoder, else
            `Prior`.
        map_size: No side of a map is longer, in pixels; 0 for the image's size up to 128.
    """

    model: str
    layer: str
    channels: tuple[int, ...] | None = None
    labels: NDArray[np.integer] | None = None
    pairs: int = 1000
    seed: int = 0
    first: int = 0
    originals: Originals | None = None
    map_size: int = 0


@dataclass(frozen=True, eq=False)
class ModulesTask:
    """Modules to find in influence maps (section 3.3).

    Args:
        maps: (C, H, W) influence maps, or the name of the influence operation that holds them.
        k: Number of modules, K.
        method: `Method.NMF` or `Method.KMEANS`.
        seeds: The first gives the modules; further ones tell how far they depend on it.
        window: Side of the averaging window in pixels, odd.
        percentile: Above which a pixel of a map counts, between 0 and 100, both excluded.
    """

    maps: NDArray[np.floating] | str
    k: int = 3
    method: Method = Method.NMF
    seeds: tuple[int, ...] = (0,)
    window: int = 3
    percentile: float = 75.0


Task: TypeAlias = InfluenceTask | ModulesTask


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Args:
        state: Where it stands.
        shards_done: Shards finished; a shard is 32 pairs.
        shards_total: Shards in all.
        eta_s: Seconds still to go; None before the first shard.
        hybrids_per_second: Since the job was started or resumed.
    """

    state: JobState
    shards_done: int
    shards_total: int
    eta_s: float | None
    hybrids_per_second: float


ProgressCallback: TypeAlias = Callable[[Progress], None]
"""What hears of progress: the whole state at once, then each change."""


@dataclass(frozen=True)
class Estimate:
    """What a job is going to cost.

    Args:
        duration_s: Seconds.
        hybrids: Hybrids to generate.
        result_bytes: Size of the result arrays.
    """

    duration_s: float
    hybrids: int
    result_bytes: int


@dataclass(frozen=True)
class Job:
    """An operation of the server.

    Args:
        name: ``operations/ID``; empty for an estimate that started nothing.
        kind: Which analysis it computes.
        model: The model's name; empty for modules of maps that were sent.
        layer: The layer as it was asked for; empty for modules.
        progress: How far it is.
        estimate: What it was expected to cost; None where nothing was estimated.
        model_digest: The model's version that it is bound to.
        identity: sha256 of everything that the result depends on.
        created: When it was first asked for.
        ended: When it was done, failed or cancelled.
        expires: When its result may be forgotten.
        done: Whether it has ended, in whatever way.
        error: Why it failed, empty otherwise.
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
