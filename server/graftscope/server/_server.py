"""Puts a server together and runs it: engine, jobs and gRPC are joined here and nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager

import grpc

from graftscope.server._descriptors import connections_of
from graftscope.server._listening import listen
from graftscope.server._opening import (
    bundle_paths,
    look_at_sources,
    open_catalogue,
    registered_folder,
)
from graftscope.server._options import server_options
from graftscope.server._protection import (
    authentication,
    certificates_of,
    credentials,
    let_in,
)
from graftscope.server._services import Served, add_services
from graftscope.server._state import ROOM, check_place, held_state
from graftscope.server.blobs import open_blobs
from graftscope.server.engine import (
    GIB,
    Batching,
    Catalogue,
    MemoryBudget,
    ServedBundles,
    said,
)
from graftscope.server.executors import Executor
from graftscope.server.executors.cluster import cluster_of, open_cluster
from graftscope.server.health import health_port
from graftscope.server.jobs import (
    ArtifactStore,
    CheckpointFolder,
    JobRunner,
    JobSettings,
    JobStore,
    MeasurementStore,
    Resolver,
    Retention,
    check_readable,
)
from graftscope.server.logs import get_logger
from graftscope.server.rpc import (
    FEWEST_QUEUED,
    QUEUE_A_WORKER,
    Admission,
    Calls,
    Drain,
    Guard,
    InteractiveRuns,
    Limits,
    Reading,
    Registration,
    describe_failure,
)
from graftscope.server.settings import SECRETS, Settings, database_url
from graftscope.server.telemetry import Watched, metrics_port, tracing

_GIB = 2**30
_LAST_S = 3.0
"""Of the grace, to end calls that are left, and threads."""

_LAST_SHARE = 0.25
# A short call need not wait for a long one, on however few cores.
_FEWEST_THREADS = 2

_log = get_logger("server")


@asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[str]:
    """Serves until the block is left.

    Yields:
        HOST:PORT or unix:PATH that is listened on.

    Raises:
        ServerError: a missing folder, device, port or cluster, or a state folder in use.
        BundleError: a damaged bundle.
    """
    async with _executor(settings) as executor, _serving(settings, executor) as address:
        yield address


@asynccontextmanager
async def _executor(settings: Settings) -> AsyncIterator[Executor | None]:
    """What computes pieces of jobs; None for this process."""
    where = cluster_of(settings.executor)
    if where is None:
        yield None
        return
    opened = open_cluster(
        where,
        settings.device,
        settings.workers,
        settings.sessions,
        insecure=settings.insecure,
    )
    with ExitStack() as stack:
        # It takes a while. And in the main thread Ray would take over the signals.
        yield await asyncio.to_thread(stack.enter_context, opened)


@asynccontextmanager
async def _serving(settings: Settings, executor: Executor | None) -> AsyncIterator[str]:
    """As `running_server`, with what computes pieces of jobs."""
    told = settings.model_dump(mode="json", exclude=set(SECRETS))
    _log.debug("settings", **told)
    asks, certificates = authentication(settings), certificates_of(settings)
    tls = credentials(certificates)
    url = database_url(settings)
    # Before anything is made: who names a bundle that is not there finds no new state folder.
    paths = bundle_paths(settings)
    with (
        tracing(settings.traces) as opening,
        held_state(settings.state, url) as state,
        closing(ServedBundles(state, settings.limits)) as bundles,
    ):
        memory = _memory(settings)
        catalogue = await asyncio.to_thread(open_catalogue, settings, paths, bundles, memory)
        artifacts = ArtifactStore(open_blobs(settings.storage or state, "artifacts"))
        resolver = Resolver(catalogue, artifacts, bundles.sandbox)
        with (
            closing(JobStore(url, check_readable)) as store,
            _measurements(settings, url) as measurements,
            let_in(settings, asks, url) as (gate, grants),
            _interactive(settings, catalogue) as runs,
            closing(Reading(settings.upload_idle_s, settings.explore_idle_s)) as reading,
        ):
            marks = open_blobs(settings.storage or state, ROOM)
            await asyncio.to_thread(check_place, marks, url, store)
            runner = JobRunner(
                store,
                CheckpointFolder(open_blobs(settings.storage or state, "checkpoints")),
                resolver,
                JobSettings(
                    settings.workers,
                    Retention(settings.keep_s, settings.keep_gib * _GIB),
                    describe_failure,
                    settings.checkpoint_s,
                    settings.lease_s,
                    settings.job_crashes,
                    settings.queued_jobs,
                    memory=memory,
                    timings=measurements,
                    executor=executor,
                ),
            )
            drain, admission = Drain(), Admission(limits(settings))
            calls = Calls(opening=opening)
            guard = Guard(gate, admission, reading, drain, calls)
            options = server_options(
                connections_of(settings.connections), settings.keepalive_s, settings.request_mib
            )
            server = grpc.aio.server(interceptors=[guard], options=options)
            address = listen(server, settings.listen, tls)
            registration = Registration(
                catalogue,
                bundles,
                runner.artifacts,
                registered_folder(settings),
                allowed=settings.registration,
            )
            health_servicer = await add_services(
                server, Served(catalogue, runner, runs, grants, reading, registration, drain)
            )
            looks = asyncio.create_task(look_at_sources(bundles))
            async with AsyncExitStack() as last:
                try:
                    loop = asyncio.get_running_loop()
                    watched = Watched(
                        calls,
                        admission,
                        reading,
                        runs,
                        catalogue,
                        runner,
                        state,
                        loop,
                        certificates,
                    )
                    last.enter_context(metrics_port(settings.metrics, watched))
                    await runner.start(resume=settings.resume)
                    await server.start()
                    models = ", ".join(catalogue.generators) or "none"
                    how = {"tls": tls is not None, "auth": asks.value}
                    device = settings.device.value
                    if health := await last.enter_async_context(
                        health_port(settings.health, health_servicer)
                    ):
                        how["health"] = health
                    _log.info("serving", address=address, **how, device=device, models=models)
                    yield address
                finally:
                    looks.cancel()
                    await health_servicer.enter_graceful_shutdown()
                    await _end(server, drain, runner, settings.grace_s)


async def _end(server: grpc.aio.Server, drain: Drain, runner: JobRunner, grace_s: float) -> None:
    """Jobs are put away, and calls may finish; what is left is told to ask again."""
    drain.refuse()
    last_s = min(_LAST_S, _LAST_SHARE * grace_s)
    try:
        async with asyncio.timeout(grace_s):
            await asyncio.gather(runner.stop(), drain.finish(grace_s - last_s))
    except TimeoutError:
        _log.warning("jobs not put away in time", grace_s=grace_s)
    if left := await drain.end(last_s):
        _log.warning("calls ended", calls=left, grace_s=grace_s)
    await server.stop(_LAST_S)


def limits(settings: Settings) -> Limits:
    """How much is taken on at a time."""
    threads = max(_FEWEST_THREADS, settings.workers)
    queue = settings.queue or max(FEWEST_QUEUED, QUEUE_A_WORKER * settings.workers)
    return Limits(queue, threads, settings.watches)


def _memory(settings: Settings) -> MemoryBudget:
    limit_gib = settings.memory_gib
    memory = MemoryBudget(None if limit_gib is None else int(limit_gib * GIB))
    _log.info("memory", limit=said(memory.limit_bytes), for_requests=said(memory.room_bytes))
    return memory


@contextmanager
def _interactive(settings: Settings, catalogue: Catalogue) -> Iterator[InteractiveRuns]:
    """What answers calls while they wait, in threads of its own."""
    threads = max(_FEWEST_THREADS, settings.workers)
    with ThreadPoolExecutor(Batching.threads_of(threads), "interactive") as executor:
        yield InteractiveRuns(Batching(executor, threads, catalogue.turns))


@contextmanager
def _measurements(settings: Settings, url: str) -> Iterator[MeasurementStore]:
    """How fast plans are, as jobs before have measured."""
    with closing(MeasurementStore(url)) as measurements:
        if settings.forget_plans:
            _log.info("plans forgotten", measurements=measurements.forget())
        yield measurements
