"""Puts a server together and runs it: engine, jobs and gRPC are joined here and nowhere else."""

import asyncio
import shlex
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from graftscope.bundle import BundleError, shipped
from graftscope.sandbox import SandboxError
from graftscope.server._descriptors import connections_of
from graftscope.server._listening import listen
from graftscope.server._one_queue import one_queue
from graftscope.server._protection import authentication, credentials
from graftscope.server._state import ROOM, check_place, held_state
from graftscope.server.access import (
    Authentication,
    Gate,
    Grants,
    GrantStore,
    KnownTokens,
    Role,
    TokenStore,
)
from graftscope.server.blobs import open_blobs
from graftscope.server.engine import (
    GIB,
    Batching,
    Catalogue,
    HeldBundle,
    MemoryBudget,
    ServedBundles,
    SessionPool,
    Turns,
    check_device,
    describe_devices,
    find_bundles,
    open_bundles,
    said,
)
from graftscope.server.errors import InvalidInput, NotFound
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
    AnalysisServicer,
    Arrays,
    ArtifactServicer,
    Belongings,
    ClusteringRequests,
    Drain,
    Guard,
    InteractiveRuns,
    Limits,
    ModelServicer,
    OperationsServicer,
    Reading,
    Registration,
    Requests,
    describe_failure,
    registered,
)
from graftscope.server.settings import Settings, database_url
from graftscope.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)

_DAY_S = 86_400.0
_LOOK_S = 10.0
_REGISTERED = "registered"
_GIB = 2**30
_LAST_S = 3.0
"""Of the grace, to end calls that are left, and threads."""

_LAST_SHARE = 0.25
# A client that is asked whether it is still there has this much of the interval to answer.
_ANSWER_SHARE = 0.5
# A short call need not wait for a long one, on however few cores.
_FEWEST_THREADS = 2

_log = get_logger("server")

SERVICES = (
    analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"].full_name,
    artifact_service_pb2.DESCRIPTOR.services_by_name["ArtifactService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
    operations_pb2.DESCRIPTOR.services_by_name["Operations"].full_name,
    health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
)

MESSAGE_LIMIT_BYTES = 4 * 2**20
"""gRPC's own default; what is larger travels as an artifact."""

METADATA_LIMIT_BYTES = 16 * 2**10
STREAMS_A_CONNECTION = 8_192
_PENDING_CALLS = 100_000


@asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[str]:
    """Serves until the block is left.

    Yields:
        HOST:PORT or unix:PATH that is listened on.

    Raises:
        ServerError: a missing folder, device or port, or a state folder in use.
        BundleError: a damaged bundle.
    """
    told = settings.model_dump(
        mode="json", exclude={"jobs_url", "storage"}
    )  # They may hold passwords.
    _log.debug("settings", **told)
    asks, tls = authentication(settings), credentials(settings)
    url = database_url(settings)
    with (
        held_state(settings.state, url) as state,
        closing(ServedBundles(state, settings.limits)) as bundles,
    ):
        memory = _memory(settings)
        catalogue = await asyncio.to_thread(_open_catalogue, settings, bundles, memory)
        artifacts = ArtifactStore(open_blobs(settings.storage or state, "artifacts"))
        resolver = Resolver(catalogue, artifacts)
        with (
            closing(JobStore(url, check_readable)) as store,
            _measurements(settings, url) as measurements,
            _access(settings, asks, url) as (gate, grants),
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
                    Retention(settings.keep_days * _DAY_S, settings.keep_gib * _GIB),
                    describe_failure,
                    settings.checkpoint_s,
                    settings.lease_s,
                    settings.job_crashes,
                    settings.queued_jobs,
                    memory=memory,
                    timings=measurements,
                ),
            )
            drain = Drain()
            guard = Guard(gate, Admission(limits(settings)), reading, drain)
            options = server_options(connections_of(settings.connections), settings.keepalive_s)
            server = grpc.aio.server(interceptors=[guard], options=options)
            address = listen(server, settings.listen, tls)
            registration = Registration(
                catalogue,
                bundles,
                runner.artifacts,
                state / _REGISTERED,
                allowed=settings.registration,
            )
            health_servicer = await _add_services(
                server, catalogue, runner, runs, grants, reading, registration
            )
            looks = asyncio.create_task(_look_at_sources(bundles))
            try:
                await runner.start(resume=settings.resume)
                await server.start()
                models = ", ".join(catalogue.generators) or "none"
                how = {"tls": tls is not None, "auth": asks.value}
                device = settings.device.value
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


def _open_catalogue(settings: Settings, bundles: ServedBundles, memory: MemoryBudget) -> Catalogue:
    paths = tuple(path for folder in settings.bundles for path in find_bundles(folder))
    if not settings.bundles:
        paths = tuple(shipped().values())
        if not paths:
            raise NotFound("no bundle comes with this installation: name a bundle to serve")
    check_device(settings.device)
    _log.info("devices", runs=describe_devices(settings.device))
    turns = Turns(settings.job_share, settings.workers)
    pool = SessionPool(
        settings.device, settings.sessions, settings.workers, turns=turns, memory=memory
    )
    # One that is all that was asked for is no bundle to leave out.
    is_alone = paths == settings.bundles[:1]
    opened = open_bundles(paths, bundles.open, leave_out=not is_alone)
    if settings.registration:
        if not settings.sandbox:
            raise InvalidInput(
                "registration needs the sandbox, in which models are tried before they are opened",
                field="registration",
            )
        names = {each.manifest.name for each in opened}
        kept = [x for x in registered(settings.state / _REGISTERED) if x.name not in names]
        with suppress(BundleError, SandboxError):  # which the log has told
            opened += open_bundles(kept, bundles.open, leave_out=True)
    bundles.sweep()
    return Catalogue(opened, pool)


async def _look_at_sources(bundles: ServedBundles) -> None:
    """Tells in the log where a bundle's files are no longer those that are served."""
    while True:
        await asyncio.sleep(_LOOK_S)
        await asyncio.to_thread(bundles.tell_changes, _tell_change)


def _tell_change(held: HeldBundle) -> None:
    _log.warning(
        "bundle has changed on disk; what was copied at the start is served until the next one",
        model=held.folder.manifest.name,
        digest=held.folder.manifest.digest,
        source=str(held.source),
    )


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


@contextmanager
def _access(
    settings: Settings, asks: Authentication, url: str
) -> Iterator[tuple[Gate, Grants | None]]:
    """What lets callers in, and who may read which array; None where nobody is asked."""
    how: dict[str, object] = {"tls": settings.tls_cert is not None, "auth": asks.value}
    if asks is Authentication.NONE:
        _log.info("callers", **how)
        yield Gate(), None
        return
    with closing(TokenStore(url)) as tokens, closing(GrantStore(url)) as grants:
        now_s, known = time.time(), tokens.all()
        _log.info("callers", **how, tokens=sum(x.state(now_s) == "active" for x in known))
        if asks is Authentication.TOKEN and not known:
            _log.warning(f"nobody can call yet: make a token with `{_make_token(settings)}`")
        gate = Gate(asks, KnownTokens(tokens), Role.of(settings.tls_client_role))
        yield gate, Grants(grants, settings.keep_days * _DAY_S)


def _make_token(settings: Settings) -> str:
    """The command that makes a token for this server; a database's URL may hold a password."""
    place = "--jobs-url URL" if settings.jobs_url else f"--state {shlex.quote(str(settings.state))}"
    return f"graftscope token create --name NAME --role analyst {place}"


async def _add_services(
    server: grpc.aio.Server,
    catalogue: Catalogue,
    runner: JobRunner,
    runs: InteractiveRuns,
    grants: Grants | None,
    reading: Reading,
    registration: Registration,
) -> health.aio.HealthServicer:
    belongings = Belongings(runner, grants)
    arrays = Arrays(runner, belongings)
    requests = Requests(catalogue, arrays)
    models = ModelServicer(catalogue, arrays, runs, reading, registration)
    handlers = one_queue(server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(models, handlers)
    analyses = AnalysisServicer(runner, belongings, requests, ClusteringRequests(arrays), reading)
    analysis_service_pb2_grpc.add_AnalysisServiceServicer_to_server(analyses, handlers)
    artifacts = ArtifactServicer(runner.artifacts, belongings)
    artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(artifacts, handlers)
    operations_pb2_grpc.add_OperationsServicer_to_server(
        OperationsServicer(runner, belongings), handlers
    )
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, handlers)
    for service in SERVICES:
        await health_servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    # It looks which kind of server it is given.
    reflection.enable_server_reflection([*SERVICES, reflection.SERVICE_NAME], server)
    return health_servicer


def server_options(connections: int, keepalive_s: float) -> list[tuple[str, int]]:
    """The options of `grpc.aio.server`.

    Args:
        connections: how many may be open at a time; those above are closed at once.
        keepalive_s: after how long a silence a client is asked whether it is still there.
    """
    answer_ms = round(1e3 * _ANSWER_SHARE * keepalive_s)
    return [
        # Said on both ends, so that no default of another version changes the contract.
        ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
        # A port in use is an error, not a share of the traffic.
        ("grpc.so_reuseport", 0),
        # A watcher behind a proxy may be silent for minutes: let clients ping that often.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Finds clients that vanished or froze, so that nothing is computed for them any longer; the
        # ping's own limit has to be set beside the interval.
        ("grpc.keepalive_time_ms", round(1e3 * keepalive_s)),
        ("grpc.keepalive_timeout_ms", answer_ms),
        ("grpc.http2.ping_timeout_ms", answer_ms),
        # What is too much is refused with a reason. Left to itself the library drops calls without
        # a word as soon as a thousand wait to be looked at.
        ("grpc.server.max_pending_requests", _PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _PENDING_CALLS),
        # Likewise those that waited for half a minute. In seconds.
        ("grpc.server_max_unrequested_time_in_server", 600),
        # Calls above wait in the client until others of its connection have ended.
        ("grpc.max_concurrent_streams", STREAMS_A_CONNECTION),
        ("grpc.max_allowed_incoming_connections", connections),
        # Clients connect again without noticing: who is idle, or was once sent here, need not stay.
        ("grpc.max_connection_idle_ms", 10 * 60_000),
        ("grpc.max_connection_age_ms", 60 * 60_000),
        # Of a connection on which nobody speaks HTTP/2.
        ("grpc.server_handshake_timeout_ms", 20_000),
        ("grpc.max_metadata_size", METADATA_LIMIT_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_LIMIT_BYTES),
    ]
