"""What comes before a job runs: is there one that answers already, and how will it be computed?

Everything here blocks and is called in threads. It must not know tasks, watchers or gRPC.
"""

import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import uuid4

from graftscope.graph.rewrites import COMPILE
from graftscope.server.analysis import DEFAULT_KS
from graftscope.server.engine import (
    ARITHMETIC_VERSION,
    AUTO,
    Cancellation,
    Generator,
    Need,
    PairSource,
    Plan,
    Subject,
    Timings,
    Trial,
    can_compile,
    cancellation_here,
    choose,
    choose_close,
    choose_corrected,
    corrected,
)
from graftscope.server.errors import Conflict, NotFound
from graftscope.server.executors import Executor
from graftscope.server.failpoints import reach
from graftscope.server.jobs._checkpoints import CheckpointFolder, Sums
from graftscope.server.jobs._clustering import stability_shards
from graftscope.server.jobs._influence import InfluenceWork, outline, seconds_of, shard_count
from graftscope.server.jobs._job import UNENDED, Checkpoint, Estimate, Job, JobState
from graftscope.server.jobs._magnitude import MAGNITUDE_ROW_BYTES, channels_spec
from graftscope.server.jobs._needs import need_of, planning_need
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._specification import (
    InfluenceSpec,
    MagnitudeSpec,
    Spec,
    StabilitySpec,
    canonical,
    identity,
    parse_spec,
)
from graftscope.server.jobs._store import JobStore
from graftscope.server.jobs._worth import prepared, worth_need
from graftscope.server.jobs._worth_specs import WorthSpec
from graftscope.server.logs import get_logger

_log = get_logger("jobs")


@dataclass(frozen=True)
class Preparation:
    """Finds and plans jobs.

    Attributes:
        store: where jobs are kept.
        checkpoints: where sums over the first shards are kept.
        resolver: from names and checksums to models and arrays.
        executor: what computes pieces of jobs, for estimates.
        cancellation: stops whatever is prepared; for one call, a child of it does.
        timings: what was measured of models, layers and shapes, so that it is measured once.
    """

    store: JobStore
    checkpoints: CheckpointFolder
    resolver: Resolver
    executor: Executor
    cancellation: Cancellation = field(default_factory=Cancellation)
    timings: Timings = field(default_factory=Timings)

    def find(self, spec: Spec, request_id: str | None, owner: str) -> Job | None:
        """The owner's job that answers the call: of its request_id, or of the same identity.

        Raises:
            Conflict: the request_id was used for another specification.
        """
        wanted = identity(spec)
        named = self.store.by_request(request_id, owner) if request_id is not None else None
        if named is not None and named.identity != wanted:
            raise Conflict(
                f"request_id {request_id!r} was used for operations/{named.id}, which computes "
                "something else; use a new one",
                field="request_id",
            )
        if named is not None and self._is_whole(named):
            return named
        usable = self.store.by_identity(wanted, (*UNENDED, JobState.DONE), owner)
        found = next((job for job in usable if self._is_whole(job)), None)
        if found is not None and request_id is not None:
            self.store.name_request(request_id, found)
        return found

    def prepare(
        self, spec: Spec, model: str, owner: str = "", *, measures: bool = True
    ) -> tuple[Job, Sums | None]:
        """A new job with its plan and its estimate, and the sums that it can go on from.

        Args:
            spec: what to compute.
            model: the model's name, for people.
            owner: whose it is.
            measures: whether plans are timed; else the job has none, unless an earlier attempt left
                one, and how long it takes is not known.

        Raises:
            Cancelled: what the calling thread works for was cancelled.
        """
        job = Job(
            id=uuid4().hex,
            analysis=spec.analysis,
            specification=canonical(spec),
            identity=identity(spec),
            model=model,
            plan={},
            estimate=Estimate(0.0, 0, 0),
            shards_total=1,
            created_s=time.time(),
            owner=owner,
        )
        match spec:
            case InfluenceSpec():
                return self._influence(job, spec, measures=measures)
            case StabilitySpec():
                return replace(job, shards_total=stability_shards(spec)), None
            case MagnitudeSpec():
                return self._magnitude(job, spec, measures=measures), None
            case WorthSpec():
                workers = self.executor.workers
                return prepared(job, spec, self.resolver, workers=workers, measures=measures), None
            case _:
                return job, None

    def adopt(self, job: Job, sums: Sums | None, request_id: str | None) -> Job | None:
        """The job, stored, with a checkpoint of its own of the sums that it goes on from.

        None where another server was faster with one that answers the call.

        Args:
            job: the new job.
            sums: what it goes on from, if anything.
            request_id: the call that it answers, if that has a name.
        """
        if sums is not None:
            job = replace(job, checkpoint=self.save(job, sums))
        if self.store.add(job, request_id):
            reach("job-stored")
            return job
        self.checkpoints.remove(job.checkpoint)
        return None

    def save(self, job: Job, sums: Sums) -> Checkpoint:
        """Writes a job's checkpoint under a name that no other attempt gives."""
        return self.checkpoints.save(job.id, sums, job.fence)

    def need(self, spec: Spec) -> Need:
        """What a job will take of memory.

        Raises:
            NotFound: the model is not served any more.
        """
        if isinstance(spec, WorthSpec):
            return worth_need(spec, self.resolver, self.executor.workers)
        return need_of(spec, self.resolver.catalogue, self.executor)

    def planning_need(self, spec: Spec) -> Need:
        """What `prepare` will take of memory. Raises as `need`."""
        return planning_need(spec, self.resolver.catalogue)

    def resolve(self, spec: InfluenceSpec) -> tuple[Subject, PairSource]:
        """Whose influence is wanted, and where the pairs come from.

        Raises:
            NotFound: the model is not served any more, or an array is gone.
            Corrupt: a stored array is damaged.
        """
        subject = self.resolver.subject(spec)
        return subject, self.resolver.pairs(subject.generator, spec.originals, spec.seed)

    def can_go_on(self, job: Job) -> bool:
        """Whether an unended job's plan still gives the same bits here.

        A job whose model is gone may go on: it fails at once and says so.
        """
        spec = parse_spec(job.specification)
        if not isinstance(spec, InfluenceSpec) or not job.plan or not self.is_served(job):
            return True
        generator = self.resolver.catalogue.by_digest(spec.model)
        return _gives_same_bits(stored_plan(job.plan), generator)

    def is_served(self, job: Job) -> bool:
        """Whether the job's model is offered here, if it is of one."""
        spec = parse_spec(job.specification)
        if not isinstance(spec, InfluenceSpec | MagnitudeSpec | WorthSpec):
            return True
        try:
            self.resolver.catalogue.by_digest(spec.model)
        except NotFound:
            return False
        return True

    def _is_whole(self, job: Job) -> bool:
        """Whether a job goes on, or all of its result arrays are still as they were stored."""
        return job.result is None or all(
            self.resolver.artifacts.is_intact(ref.sha256) for ref in job.result.arrays.values()
        )

    def measured(
        self, job: Job, subject: Subject, source: PairSource, cancellation: Cancellation
    ) -> Job:
        """A job with its plan, which is chosen if it has none, and how long it will take.

        Args:
            job: of influence.
            subject: whose influence.
            source: where the pairs come from.
            cancellation: what may stop the runs that are timed.

        Raises:
            Cancelled: it was stopped.
        """
        spec = parse_spec(job.specification)
        assert isinstance(spec, InfluenceSpec)
        timings = self.timings.for_one()
        pairs = range(spec.first, spec.first + spec.pairs)
        trial = Trial(subject, source, pairs, cancellation, timings)
        plan = stored_plan(job.plan) if job.plan else _chosen(trial, spec)
        work = InfluenceWork(spec, subject, source, plan, cancellation, timings)
        duration_s = seconds_of(work, self.executor)
        _log.info("plan", job=job.id, layer=spec.layer, origin=_origin(job, timings), **_told(plan))
        return replace(
            job,
            plan=_told(plan),
            estimate=replace(job.estimate, duration_s=duration_s),
        )

    def _influence(
        self, job: Job, spec: InfluenceSpec, *, measures: bool
    ) -> tuple[Job, Sums | None]:
        """With the plan and the sums of an earlier attempt, or a new plan if that is measured."""
        generator = self.resolver.catalogue.by_digest(spec.model)
        earlier, sums = self._earlier(job, generator) or ({}, None)
        outlined = replace(
            job,
            plan=earlier,
            estimate=outline(spec, generator),
            shards_total=shard_count(spec),
            shards_done=sums.shards if sums else 0,
        )
        if not measures:
            return outlined, sums
        return self.measured(outlined, *self.resolve(spec), cancellation_here()), sums

    def _magnitude(self, job: Job, spec: MagnitudeSpec, *, measures: bool) -> Job:
        """With the estimate of its influence jobs; those that are done already cost nothing."""
        generator = self.resolver.catalogue.by_digest(spec.model)
        duration_s, hybrids, rows, shards = 0.0, 0, 0, 0
        for name in spec.layers:
            layer = generator.layer(name)
            needed = channels_spec(spec, layer.name, layer.channels)
            prepared, _ = self.prepare(needed, job.model, job.owner, measures=measures)
            # Which modules will be empty is not known yet: at most k of every division.
            modules = sum(k for k in spec.ks or DEFAULT_KS if k <= layer.channels)
            found = self.find(needed, None, job.owner)
            is_done = found is not None and found.state is JobState.DONE
            share = modules / layer.channels + (0 if is_done else 1)
            duration_s += share * (prepared.estimate.duration_s or 0.0)
            hybrids += round(share * prepared.estimate.hybrids)
            rows += modules
            shards += 2 * prepared.shards_total
        cost = Estimate(duration_s if measures else None, hybrids, rows * MAGNITUDE_ROW_BYTES)
        return replace(job, estimate=cost, shards_total=shards)

    def _earlier(self, wanted: Job, generator: Generator) -> tuple[dict[str, Any], Sums] | None:
        """The newest attempt that can be gone on with: same arithmetic, same provider."""
        ended = (JobState.CANCELLED, JobState.FAILED)
        for job in self.store.by_identity(wanted.identity, ended, wanted.owner):
            if not job.checkpoints:
                continue
            if not _gives_same_bits(stored_plan(job.plan), generator):
                continue
            sums = self.checkpoints.newest(job)
            if sums is not None:
                return job.plan, sums
        return None


def _chosen(trial: Trial, spec: InfluenceSpec) -> Plan:
    """The fastest plan of the precision that was asked for, by a short measurement."""
    plans = trial.subject.candidates(trial.subject.generator.backends(spec.precision))
    if spec.precision != AUTO:
        chosen = choose(trial, plans)
        return corrected(trial, chosen) if spec.corrected else chosen
    return (choose_corrected if spec.corrected else choose_close)(trial, plans)


def _origin(job: Job, timings: Timings) -> str:
    """Where the job's plan comes from."""
    if job.plan:
        return "an earlier attempt"
    return "measured now" if timings.measured else "measured before"


def _told(plan: Plan) -> dict[str, Any]:
    """A plan as it is stored with a job."""
    return {**asdict(plan), "rewrites": list(plan.rewrites)}


def check_readable(job: Job) -> None:
    """Checks that this version can work on a job, or tell what it gave.

    Raises:
        KeyError, TypeError, ValueError, AssertionError: it cannot.
    """
    spec = parse_spec(job.specification)
    # Before its first shard a job may wait for its plan.
    if isinstance(spec, InfluenceSpec) and (job.plan or job.shards_done):
        stored_plan(job.plan)
    if job.state is JobState.DONE and job.result is None:
        raise ValueError("it is done and has no result")


def stored_plan(value: dict[str, Any]) -> Plan:
    """The plan that a job was stored with."""
    return Plan(**{**value, "rewrites": tuple(value["rewrites"])})


def _gives_same_bits(plan: Plan, generator: Generator) -> bool:
    """Whether a stored plan's arithmetic, provider and precision are there, and its compiler."""
    is_same = plan.arithmetic_version == ARITHMETIC_VERSION
    compiles = COMPILE not in plan.rewrites or can_compile()
    return is_same and compiles and plan.backend in generator.backends(AUTO)
