"""Many watches, uploads and connections, all of them legal: the server goes on working."""

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from graftscope.client import Client, InfluenceTask
from graftscope.server._descriptors import connections_of
from graftscope.server.rpc._admission import TRANSFERS
from graftscope.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    tensor_pb2,
)
from reliability._processes import MIB, Running, server, told

MODEL, LAYER = "toy-vae", "deconv2"
WATCHERS, CHANNELS = 1_000, 8
GROWTH_MIB, FLAT_MIB = 100, 10
UPLOADS, CONNECTIONS = 1_200, 1_100
ENDLESS_PAIRS = 5_000_000
WAIT_S = 120.0
LOST = "Internal error from Core"
"""gRPC's own words in a client whose write finds the call ended: it puts them, as INTERNAL, in the
place of the status that the server has sent and that it has not read yet."""


@pytest.fixture
def running(toy_vae_bundle: Path, tmp_path: Path) -> Iterator[Running]:
    with server([toy_vae_bundle], tmp_path / "state") as running:
        yield running


def _works(running: Running) -> None:
    """A new connection, and a session that is not open yet or is."""
    with Client(running.address, timeout_s=30.0) as client:
        client.hybridize(MODEL, LAYER, (0,), pairs=1)


def _watching(channel: grpc.aio.Channel) -> Any:
    return analysis_service_pb2_grpc.AnalysisServiceStub(channel)


async def _watched(address: str, name: str, watchers: int, cancel: asyncio.Event) -> list[bool]:
    """Whether each of so many watchers saw the job's end."""
    request = analysis_service_pb2.WatchOperationRequest(name=name)
    begun = 0

    async def watch(stub: Any) -> bool:
        nonlocal begun
        is_done, is_first = False, True
        updates: AsyncIterator[analysis_service_pb2.WatchOperationResponse]
        updates = stub.WatchOperation(request, timeout=WAIT_S)
        async for update in updates:
            begun += is_first
            is_first, is_done = False, update.operation.done
            if begun == watchers:
                cancel.set()
        return is_done

    async with asyncio.timeout(WAIT_S):
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(address, options) for _ in range(CHANNELS)]
        stubs = [_watching(channel) for channel in channels]
        try:
            return await asyncio.gather(
                *(watch(stubs[number % CHANNELS]) for number in range(watchers))
            )
        finally:
            await asyncio.gather(*(channel.close() for channel in channels))


async def _round(running: Running, client: Client, watchers: int, seed: int) -> tuple[int, float]:
    """How many watchers saw the end of a job that is cancelled once all watch; memory meanwhile."""
    task = InfluenceTask(model=MODEL, layer=LAYER, pairs=ENDLESS_PAIRS, seed=seed)
    job = await asyncio.to_thread(client.start, task)
    everybody = asyncio.Event()
    watching = asyncio.create_task(_watched(running.address, job.name, watchers, everybody))
    begun = asyncio.create_task(everybody.wait())
    await asyncio.wait([watching, begun], return_when=asyncio.FIRST_COMPLETED)
    begun.cancel()
    resident = running.resident_bytes / MIB
    await asyncio.to_thread(client.cancel, job.name)
    return sum(await watching), resident


def _rounds(running: Running, watchers: int, rounds: int) -> None:
    with Client(running.address) as client:
        # Sessions, compiled code and the compiler itself are a job's and stay, whoever watches.
        client.influence(MODEL, LAYER, pairs=64)
        before = running.resident_bytes / MIB
        found = [asyncio.run(_round(running, client, watchers, seed)) for seed in range(rounds)]
    memory = [f"{resident - before:.0f}" for _, resident in found]
    told(f"of {watchers} watchers saw the end", [done for done, _ in found], watchers)
    told("growth while they watch, MiB", ", ".join(memory), GROWTH_MIB)
    assert [done for done, _ in found] == [watchers] * rounds
    assert max(resident for _, resident in found) - before <= GROWTH_MIB
    if rounds > 1:
        grown = found[-1][1] - found[-2][1]
        told("growth from the last round but one, MiB", f"{grown:.1f}", FLAT_MIB)
        assert grown <= FLAT_MIB


def test_all_watchers_see_the_end(running: Running) -> None:
    _rounds(running, watchers=200, rounds=1)


@pytest.mark.soak
def test_a_thousand_watchers_all_see_the_end_and_memory_is_flat(running: Running) -> None:
    _rounds(running, WATCHERS, rounds=3)


async def _uploads(running: Running, number: int, refused: int) -> tuple[Counter[str], int]:
    """How the first so many refusals of uploads that are left open are told; descriptors then."""
    artifact = tensor_pb2.Artifact(sha256="0" * 64, datatype="UINT8", shape=[2**20])
    first = artifact_service_pb2.PutArtifactRequest(artifact=artifact)
    async with grpc.aio.insecure_channel(running.address) as channel:
        stub: Any = artifact_service_pb2_grpc.ArtifactServiceStub(channel)
        calls = [stub.PutArtifact() for _ in range(number)]

        async def code(call: Any) -> str:
            # Where it is refused already, nothing can be written any more.
            with suppress(grpc.RpcError, asyncio.InvalidStateError):
                await call.write(first)
            found = str((await call.code()).name)
            return "REFUSED" if found == "INTERNAL" and await call.details() == LOST else found

        codes = asyncio.as_completed([code(call) for call in calls], timeout=WAIT_S)
        found = Counter([await next(codes) for _ in range(refused)])
        await asyncio.to_thread(_works, running)
        descriptors = running.descriptors
        for call in calls:
            call.cancel()
        for rest in codes:
            await rest
    return found, descriptors


def test_uploads_that_are_left_open_leave_the_server_working(running: Running) -> None:
    # One caller has three quarters of them.
    refused = UPLOADS - TRANSFERS * 3 // 4
    codes, descriptors = asyncio.run(_uploads(running, UPLOADS, refused))
    told(f"of {UPLOADS} open uploads refused", dict(codes), refused)
    told("descriptors meanwhile", descriptors, TRANSFERS + 100)
    assert set(codes) <= {"RESOURCE_EXHAUSTED", "REFUSED"}
    assert codes["RESOURCE_EXHAUSTED"]
    assert descriptors <= TRANSFERS + 100
    _works(running)


def test_idle_connections_leave_the_server_working(running: Running) -> None:
    host, _, port = running.address.rpartition(":")
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=WAIT_S))
        _works(running)
        told("descriptors with 1,100 idle connections", running.descriptors, "none")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of descriptors")
def test_connections_leave_descriptors_for_the_rest() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
        assert connections_of(4_096) == 512
        assert connections_of(100) == 100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
