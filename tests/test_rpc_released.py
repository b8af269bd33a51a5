"""Whatever a call creates is released when it is over, however it ends: objects are counted."""

import gc
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import AsyncGeneratorType
from typing import Any

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2

from graftscope.server.access import Work
from graftscope.server.engine import Batching, Exploration, MemoryBudget, Turns
from graftscope.server.engine._batching import _Asked, _Shared
from graftscope.server.jobs._live_job import Live
from graftscope.server.rpc import Admission, Drain
from graftscope.server.rpc._latest import Inbox
from graftscope.server.workers import Workers
from graftscope.v1 import (
    analysis_service_pb2,
    artifact_service_pb2,
    model_service_pb2,
    originals_pb2,
    tensor_pb2,
)
from inference_toys import asked, infer_request
from request_toys import VAE, inline, modules
from server_toys import TIMEOUT_S, Stubs, chunk_of, served
from waiting_toys import until

SAMPLES = 20_000
"""Take longer than any of these calls lasts."""
DEADLINE_S = 0.3
SHA256 = "0" * 64
RELEASED_WITHIN_S = 5.0
MAPS = np.random.default_rng(0).random((4, 8, 8))

ENDINGS = ("ok", "cancelled", "deadline", "error", "killed")
KINDS = ("unary", "inference", "stream in", "stream out", "stream both")

OF_CALLS = (
    *("calls", "calls admitted", "tasks asked for", "runs", "turns", "watches", "uploads"),
    "explorations",
)

COUNTED = {
    AsyncGeneratorType,
    Admission,
    Batching,
    Drain,
    Exploration,
    Inbox,
    Live,
    MemoryBudget,
    Turns,
    Workers,
    _Asked,
    _Shared,
}

# The same call in a process of its own, which is killed while it waits.
CALLER = """
import sys
import grpc
import test_rpc_released as calls
from pathlib import Path
from server_toys import Stubs

address, kind, operation = sys.argv[1:]
with grpc.insecure_channel(address) as channel:
    call = calls.long_call(Stubs(address, channel, Path()), kind, operation)
    print("called", flush=True)
    call.result()
"""


def counts() -> dict[str, int]:
    """What calls and jobs take, by what it is called here."""
    gc.collect()
    alive: dict[type, list[Any]] = defaultdict(list)
    for each in gc.get_objects():
        if type(each) in COUNTED:
            alive[type(each)].append(each)
    # One that has ended may be part of the last error that grpc has met.
    going_on = [x for x in alive[AsyncGeneratorType] if x.ag_frame is not None]
    watches = [x for x in going_on if x.ag_code.co_name in ("watch", "_changes")]
    return {
        "calls": sum(x.going_on for x in alive[Drain]),
        "calls admitted": sum(x.going_on(work) for x in alive[Admission] for work in Work),
        "tasks asked for": len(alive[_Asked]),
        "tasks waiting": sum(x.waiting for x in alive[Batching]),
        "runs": sum(x.running for x in alive[_Shared]),
        "turns": sum(x.going_on for x in alive[Turns]),
        "bytes of memory": sum(x.held_bytes for x in alive[MemoryBudget]),
        "watches": len(watches),
        "explorations": len(alive[Exploration]) + len(alive[Inbox]),
        "uploads": _open_uploads(),
        "jobs": len(alive[Live]),
        "processes at work": sum(x.busy for x in alive[Workers]),
    }


def _open_uploads() -> int:
    """Files of uploads that this process, the server's, has open."""
    found = 0
    for entry in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += "incoming-" in os.readlink(f"/proc/self/fd/{entry}")
    return found


def own_threads() -> int:
    """Threads but for those of executors, which start them as they need them, and keep them."""
    names = (thread.name for thread in threading.enumerate())
    return sum(not name.startswith(("asyncio_", "interactive_", "reading_")) for name in names)


def settled() -> dict[str, int]:
    """The counts, once no call goes on."""
    until(lambda: not any(counts()[name] for name in OF_CALLS))
    return counts()


def files_of(server: Stubs) -> set[str]:
    """Of uploads that are not whole."""
    return {path.name for path in server.state.rglob("incoming-*")}


@pytest.fixture(scope="module")
def server(toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """A server of which every session that is asked for below is open."""
    gc.collect()
    gc.freeze()  # What was there before need not be looked through each time.
    with served([toy_vae_bundle], tmp_path_factory.mktemp("released")) as stubs:
        generate(stubs, 64, TIMEOUT_S).result()
        # Jobs of one caller wait for each other.
        stubs.wait(stubs.analyses.Modules(modules(maps=inline(MAPS), k=2), timeout=TIMEOUT_S))
        yield stubs
    gc.unfreeze()


@pytest.fixture(scope="module")
def operation(server: Stubs) -> Iterator[str]:
    """A job that lasts, in a process of its own, so that nothing of it comes and goes here."""
    maps = server.put(np.random.default_rng(0).random((1500, 32, 32)))
    name = server.analyses.Modules(modules(maps=maps, k=150), timeout=TIMEOUT_S).name
    until(lambda: counts()["processes at work"] == 1)
    yield name
    server.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))
    until(lambda: counts()["processes at work"] == 0)


def generate(server: Stubs, count: int, timeout_s: float | None, model: str = VAE) -> Any:
    pairs = originals_pb2.Pairs(count=count)
    request = model_service_pb2.GenerateRequest(model=model, samples=pairs)
    return server.models.Generate.future(request, timeout=timeout_s)


def infer(server: Stubs, count: int, timeout_s: float | None, part: str = "hybrid") -> Any:
    """Hybrids of many sets of channels, each of which is a task of its own."""
    z = np.zeros((count, 8), np.float32)
    sets = np.random.default_rng(0).random((count, 6)) < 0.5
    given = {"z1": z, "z2": z, "channels": sets}
    request = infer_request(f"toy-vae.deconv1.{part}", given, ["hybrid"])
    return asked(server.channel, request, timeout_s)


def watch(server: Stubs, name: str, timeout_s: float | None) -> Any:
    request = analysis_service_pb2.WatchOperationRequest(name=name)
    return server.analyses.WatchOperation(request, timeout=timeout_s)


def upload(server: Stubs, timeout_s: float | None, data: bytes, sha256: str) -> Any:
    """An upload that stands still after its first bytes, unless they are all."""
    more = threading.Event()

    def messages() -> Iterator[artifact_service_pb2.PutArtifactRequest]:
        artifact = tensor_pb2.Artifact(sha256=sha256, datatype="UINT8", shape=[8])
        yield artifact_service_pb2.PutArtifactRequest(artifact=artifact)
        yield artifact_service_pb2.PutArtifactRequest(chunk=chunk_of(data))
        if len(data) < 8:
            more.wait(TIMEOUT_S)

    call: Any = server.artifacts.PutArtifact.future(messages(), timeout=timeout_s)
    call.add_done_callback(lambda _: more.set())
    return call


def explore(server: Stubs, timeout_s: float | None, count: int, *, ends: bool) -> Any:
    """One that goes on after its first request, unless it ends."""
    more = threading.Event()

    def messages() -> Iterator[model_service_pb2.ExploreRequest]:
        start = model_service_pb2.ExploreStart(model=VAE, pairs=originals_pb2.Pairs(count=count))
        yield model_service_pb2.ExploreRequest(number=1, start=start)
        if not ends:
            more.wait(TIMEOUT_S)

    call: Any = server.models.Explore(messages(), timeout=timeout_s)
    call.add_callback(more.set)
    return call


def long_call(server: Stubs, kind: str, operation: str, timeout_s: float | None = None) -> Any:
    """One that goes on for longer than a test waits."""
    if kind == "unary":
        return generate(server, SAMPLES, timeout_s)
    if kind == "inference":
        return infer(server, SAMPLES, timeout_s)
    if kind == "stream in":
        return upload(server, timeout_s, b"1234", SHA256)
    if kind == "stream both":
        return explore(server, timeout_s, 2, ends=False)
    return watch(server, operation, timeout_s)


def short_call(server: Stubs, kind: str, operation: str, *, good: bool) -> Any:
    """One that ends by itself, as it should or with an error."""
    if kind == "unary":
        return generate(server, 3, TIMEOUT_S, VAE if good else "models/nobody")
    if kind == "inference":
        return infer(server, 3, TIMEOUT_S, "hybrid" if good else "sideways")
    if kind == "stream in":
        sha256 = "ef797c8118f02dfb649607dd5d3f8c7623048c9c063d532cc95c5ed7a898a64f"  # 12345678
        return upload(server, TIMEOUT_S, b"12345678", sha256 if good else SHA256)
    if kind == "stream both":
        return explore(server, TIMEOUT_S, 2 if good else 1000, ends=True)
    # The same as the fixture's: it is found, and has ended.
    done = server.analyses.Modules(modules(maps=inline(MAPS), k=2), timeout=TIMEOUT_S).name
    return watch(server, done if good else "operations/nobody", TIMEOUT_S)


def code_of(call: Any, kind: str) -> grpc.StatusCode:
    """How a call ended, once all its replies were taken."""
    if kind in ("stream out", "stream both"):
        with suppress(grpc.RpcError):
            for _ in call:
                continue
    code: grpc.StatusCode = call.code()  # Waits for the end.
    return code


def ended(server: Stubs, kind: str, ending: str, operation: str, begun: Callable[[], bool]) -> None:
    """Makes a call that ends so."""
    if ending in ("ok", "error"):
        call = short_call(server, kind, operation, good=ending == "ok")
        assert (code_of(call, kind) is grpc.StatusCode.OK) is (ending == "ok")
    elif ending == "deadline":
        call = long_call(server, kind, operation, DEADLINE_S)
        assert code_of(call, kind) is grpc.StatusCode.DEADLINE_EXCEEDED
    elif ending == "cancelled":
        call = long_call(server, kind, operation)
        until(begun)
        call.cancel()
        assert code_of(call, kind) is grpc.StatusCode.CANCELLED
    else:
        with subprocess.Popen(
            [sys.executable, "-c", CALLER, server.address, kind, operation],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        ) as caller:
            assert caller.stdout is not None
            assert caller.stdout.readline()
            until(begun)
            caller.kill()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", [x for x in ENDINGS if x != "killed"])
def test_what_a_call_creates_is_released(
    server: Stubs, operation: str, kind: str, ending: str
) -> None:
    assert_released(server, operation, kind, ending)


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_call_of_a_client_that_is_killed_creates_is_released(
    server: Stubs, operation: str, kind: str
) -> None:
    assert_released(server, operation, kind, "killed")


def assert_released(server: Stubs, operation: str, kind: str, ending: str) -> None:
    # The first of a kind may open a session, or connect.
    code_of(short_call(server, kind, operation, good=True), kind)
    before, threads = settled(), own_threads()
    ended(server, kind, ending, operation, lambda: counts()["calls"] > before["calls"])
    left: dict[str, int] = {}

    def is_released() -> bool:
        nonlocal left
        left = {x: count - before[x] for x, count in counts().items() if count > before[x]}
        return not left and not files_of(server)

    try:
        until(is_released, RELEASED_WITHIN_S)
    except AssertionError:
        pytest.fail(f"not released: {left}, {files_of(server)}")
    assert own_threads() <= threads + 2


def test_the_counts_see_what_a_call_takes(server: Stubs, operation: str) -> None:
    before = settled()
    calls = [long_call(server, kind, operation) for kind in KINDS]
    wanted = {"calls", "calls admitted", "tasks asked for", "turns", "watches", "uploads", "runs"}
    wanted |= {"explorations", "bytes of memory"}

    def taken() -> set[str]:
        return {name for name, count in counts().items() if count > before[name]}

    until(lambda: taken() >= wanted)
    assert files_of(server)
    for call in calls:
        call.cancel()
    until(lambda: all(count <= before[name] for name, count in counts().items()))
