"""Jobs on a small generator, stopped at the shard that a test names."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.server.blobs import FolderBlobs
from graftscope.server.engine import (
    ARITHMETIC_VERSION,
    SHARD_PAIRS,
    Backend,
    Catalogue,
    ChannelSets,
    Device,
    Generator,
    KeptTimings,
    Latents,
    PairSource,
    Plan,
    SessionPool,
    Subject,
    open_bundles,
)
from graftscope.server.executors import LocalExecutor
from graftscope.server.jobs import (
    LEASE_S,
    ArrayRef,
    ArtifactStore,
    CheckpointFolder,
    InfluenceSpec,
    Job,
    JobRunner,
    JobSettings,
    JobState,
    JobStore,
    MagnitudeSpec,
    ModulesSpec,
    OriginalsSpec,
    Resolver,
    Retention,
    Snapshot,
    StabilitySpec,
    check_readable,
)
from graftscope.server.rpc import describe_failure
from graftscope.server.workers import Workers

SHARDS = 4
PAIRS = (SHARDS - 1) * SHARD_PAIRS + 5
"""Three whole shards and a part of one."""

_NO_LIMIT = 2**40
DAY_S = 86_400.0
TIMEOUT_S = 60.0


class Gate:
    """Holds up pairs from some shard on."""

    def __init__(self) -> None:
        self._limit = _NO_LIMIT
        self._changed = threading.Condition()
        self._held = 0

    @property
    def held(self) -> int:
        """How many threads wait."""
        return self._held

    def close_after(self, shards: int) -> None:
        """Lets no more than so many shards through."""
        with self._changed:
            self._limit = shards
            self._changed.notify_all()

    def open(self) -> None:
        """Lets everything through."""
        with self._changed:
            self._limit = _NO_LIMIT
            self._changed.notify_all()

    def pass_through(self, pairs: range) -> None:
        with self._changed:
            self._held += 1
            self._changed.notify_all()
            passed = self._changed.wait_for(
                lambda: pairs.start < self._limit * SHARD_PAIRS, TIMEOUT_S
            )
            self._held -= 1
        assert passed, f"nobody opened the gate for the pairs {pairs} in {TIMEOUT_S} s"

    def hold(self) -> None:
        """Waits until somebody waits."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._held > 0, TIMEOUT_S)


@dataclass(frozen=True)
class GatedPairs:
    """Pairs behind a gate."""

    inner: PairSource
    gate: Gate

    @property
    def kind(self) -> str:
        return self.inner.kind

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        self.gate.pass_through(pairs)
        return self.inner.latents(pairs)

    def distinct_images(self, pairs: range) -> int:
        return self.inner.distinct_images(pairs)

    def photographs1(self, pairs: range) -> NDArray[np.uint8] | None:
        return self.inner.photographs1(pairs)


@dataclass(frozen=True, eq=False)
class PlainSets(ChannelSets):
    """Sets of channels on the plain path: which plan is fastest depends on the machine's load."""

    def candidates(self, backends: Sequence[Backend]) -> tuple[Plan, ...]:
        return tuple(plan for plan in super().candidates(backends) if not plan.rewrites)


@dataclass(frozen=True)
class GatedResolver(Resolver):
    """A resolver whose pairs are behind a gate, and whose plans are the same every time."""

    gate: Gate = field(default_factory=Gate)

    def subject(self, spec: InfluenceSpec) -> Subject:
        made = super().subject(spec)
        return PlainSets(**vars(made)) if type(made) is ChannelSets else made

    def pairs(self, generator: Generator, originals: OriginalsSpec, seed: int) -> PairSource:
        return GatedPairs(super().pairs(generator, originals, seed), self.gate)


@dataclass(frozen=True)
class Bench:
    """A runner and what it stands on."""

    runner: JobRunner
    store: JobStore
    state: Path
    generator: Generator
    gate: Gate

    @property
    def checkpoints(self) -> Path:
        """Their folder."""
        return self.state / "checkpoints"

    def file(self, ref: ArrayRef) -> Path:
        """Where an array lies."""
        return self.state / "artifacts" / ref.sha256

    @property
    def artifacts(self) -> ArtifactStore:
        return self.runner.artifacts

    def influence(self, **changes: object) -> InfluenceSpec:
        """Every channel of the second layer, over `PAIRS` pairs."""
        layer = self.generator.manifest.layers[1]
        channels = tuple(range(layer.channels))
        spec = InfluenceSpec(
            model=self.generator.manifest.digest,
            layer=layer.name,
            channels=layer.channels,
            sets=tuple((c,) for c in channels),
            indices=channels,
            subject="channels",
            originals=OriginalsSpec("prior", {}),
            seed=1,
            first=0,
            pairs=PAIRS,
            map_size=16,
            arithmetic=ARITHMETIC_VERSION,
        )
        return replace(spec, **changes)  # type: ignore[arg-type]

    def modules(self, maps: NDArray[np.float64], k: int) -> ModulesSpec:
        """K modules of given maps."""
        return ModulesSpec(self.artifacts.put(maps), k, "nmf", (0,), 3, 75.0)

    def stability(self, maps: NDArray[np.float64], **changes: object) -> StabilitySpec:
        """Two and three modules of given maps, by both methods."""
        spec = StabilitySpec(self.artifacts.put(maps), (2, 3), ("nmf", "kmeans"), 5, 0, 3, 75.0)
        return replace(spec, **changes)  # type: ignore[arg-type]

    def magnitude(self, **changes: object) -> MagnitudeSpec:
        """Two and three modules of the second and the third layer, over `PAIRS` pairs twice."""
        spec = MagnitudeSpec(
            model=self.generator.manifest.digest,
            layers=tuple(layer.name for layer in self.generator.manifest.layers[1:3]),
            ks=(2, 3),
            method="kmeans",
            method_seed=0,
            window=3,
            percentile=75.0,
            originals=OriginalsSpec("prior", {}),
            seed=1,
            first=0,
            pairs=PAIRS,
            map_size=16,
            arithmetic=ARITHMETIC_VERSION,
        )
        return replace(spec, **changes)  # type: ignore[arg-type]

    async def create(self, **changes: object) -> Job:
        return await self.runner.create(self.influence(**changes), model="models/toy-vae")

    def arrays(self, job: Job) -> dict[str, NDArray[np.float64]]:
        """A job's result arrays, whatever their type."""
        return {
            name: self.artifacts.get(ref).astype(np.float64) for name, ref in refs_of(job).items()
        }

    async def done(self, job: Job) -> Job:
        """The job once it has ended."""
        ended = (await self.runner.wait(job.id, TIMEOUT_S)).job
        assert ended.state.ended, ended
        return ended

    async def stop(self) -> None:
        """Stops the runner, then lets the shards go that wait at the gate."""
        stopping = asyncio.ensure_future(self.runner.stop())
        await asyncio.sleep(0)
        self.gate.open()
        await stopping

    async def reached(self, job: Job, shards: int) -> Snapshot:
        """The job once so many shards are done."""
        async for snapshot in self.runner.watch(job.id):
            if snapshot.job.shards_done >= shards and snapshot.job.state is JobState.RUNNING:
                return snapshot
        raise AssertionError(f"{job.id} ended before shard {shards}")


@asynccontextmanager
async def bench(
    bundle: Path,
    state: Path,
    *,
    workers: int = 2,
    resume: bool = True,
    keep_s: float = DAY_S,
    retention: Retention | None = None,
    checkpoint_every_s: float = 5.0,
    store_type: type[JobStore] = JobStore,
    offers: Sequence[Backend] | None = None,
    plan_patience_s: float = TIMEOUT_S,
    url: str | None = None,
    lease_s: float = LEASE_S,
    closed_after: int | None = None,
    timings: KeptTimings | None = None,
) -> AsyncIterator[Bench]:
    """A runner over a state folder, stopped at the end; its gate may be closed from the start."""
    state.mkdir(exist_ok=True)
    gate = Gate()
    if closed_after is not None:
        gate.close_after(closed_after)
    catalogue = Catalogue(open_bundles([bundle]), SessionPool(Device.CPU, 16, offers=offers))
    resolver = GatedResolver(catalogue, ArtifactStore(FolderBlobs(state / "artifacts")), gate=gate)
    checkpoints = state / "checkpoints"
    settings = JobSettings(
        workers,
        retention or Retention(keep_s),
        describe_failure,
        checkpoint_every_s,
        lease_s,
        plan_patience_s=plan_patience_s,
        timings=timings,
    )
    url = url or f"sqlite:///{state / 'jobs.db'}"
    with closing(store_type(url, check_readable)) as store:
        runner = JobRunner(store, CheckpointFolder(FolderBlobs(checkpoints)), resolver, settings)
        await runner.start(resume=resume)
        (generator,) = catalogue.generators.values()
        here = Bench(runner, store, state, generator, gate)
        try:
            yield here
        finally:
            await here.stop()


def computing(workers: int) -> LocalExecutor:
    """What computes shards in so many threads of this process."""
    return LocalExecutor(workers, Workers(1))


def refs_of(job: Job) -> dict[str, ArrayRef]:
    """A job's result arrays; equal checksums are equal bits."""
    assert job.state is JobState.DONE, job.failure
    assert job.result is not None
    return job.result.arrays
