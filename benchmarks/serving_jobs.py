"""Jobs on a server: what gRPC adds to one, and how calls and jobs share the cores."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import grpc
import numpy as np
from google.longrunning import operations_pb2, operations_pb2_grpc

from benchmarks.serving_bare import Bare
from benchmarks.serving_load import CHANNELS, MODEL, Load, Spread, serving
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    ChannelSets,
    Plan,
    PriorPairs,
    shard_effects,
)
from graftscope.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    intervention_pb2,
    originals_pb2,
)


class Jobs:
    """Influence jobs on a server.

    Args:
        address: of the server.
        layer: whose channels.
    """

    def __init__(self, address: str, layer: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._analyses = analysis_service_pb2_grpc.AnalysisServiceStub(self._channel)
        self._operations = operations_pb2_grpc.OperationsStub(self._channel)
        self._layer = layer

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()

    async def start(
        self, seed: int, pairs: int, channels: Collection[int] = ()
    ) -> operations_pb2.Operation:
        """Starts a job, of all channels if not told; every seed is another one."""
        request = analysis_service_pb2.InfluenceRequest(
            model=f"models/{MODEL}",
            layer=self._layer,
            each_channel=intervention_pb2.Channels(indices=channels),
            pairs=originals_pb2.Pairs(
                seed=seed,
                count=pairs,
                originals=originals_pb2.Originals(prior=originals_pb2.Prior()),
            ),
        )
        return await self._analyses.Influence(request)

    async def wait(self, name: str) -> analysis_service_pb2.AnalysisMetadata:
        """Waits for a job's end."""
        call = self._operations.WaitOperation(operations_pb2.WaitOperationRequest(name=name))
        ended: operations_pb2.Operation = await call
        assert not ended.HasField("error"), ended.error
        return metadata_of(ended)

    async def done(self, name: str) -> int:
        """How many of a job's shards are done."""
        get = self._operations.GetOperation(operations_pb2.GetOperationRequest(name=name))
        return metadata_of(await get).progress.shards_done

    async def speed(self, name: str, work: Callable[[], Awaitable[None]]) -> float:
        """Shards a second that a job gets done beside something else."""
        before, started = await self.done(name), time.perf_counter()
        await work()
        return (await self.done(name) - before) / (time.perf_counter() - started)

    async def stop(self, name: str) -> None:
        """Cancels a job."""
        await self._operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))


def metadata_of(operation: operations_pb2.Operation) -> analysis_service_pb2.AnalysisMetadata:
    """The metadata of an operation."""
    metadata = analysis_service_pb2.AnalysisMetadata()
    assert operation.metadata.Unpack(metadata)
    return metadata


def direct_s(bare: Bare, plan: Plan, seed: int, pairs: int, workers: int) -> float:
    """Seconds of the same shards in the same threads, without jobs or gRPC."""
    sets = np.eye(bare.layer.channels, dtype=np.bool_)
    subject = ChannelSets(bare.generator, bare.layer, sets, bare.generator.areas(0))
    source = PriorPairs(bare.generator, seed)
    shards = [range(i, min(i + SHARD_PAIRS, pairs)) for i in range(0, pairs, SHARD_PAIRS)]
    started = time.perf_counter()
    with ThreadPoolExecutor(workers) as executor:
        tasks = [
            executor.submit(shard_effects, subject, plan, source, shard, Cancellation())
            for shard in shards
        ]
        moments = tasks[0].result().moments
        for task in tasks[1:]:
            moments = moments.merge(task.result().moments)
    return time.perf_counter() - started


async def job_over_direct(
    address: str, bare: Bare, pairs: int, workers: int, rounds: int
) -> dict[str, object]:
    """Wall time of a job over that of its shards alone, with and without its creation.

    When the first job of a layer is created, its plan is chosen by a short measurement, which is
    kept for the others; the shards alone take it as given.
    """
    jobs = Jobs(address, bare.layer.name)
    created, served, alone = [], [], []
    for seed in range(rounds + 1):
        started = time.perf_counter()
        name = (await jobs.start(seed, pairs)).name
        created.append(time.perf_counter() - started)
        metadata = await jobs.wait(name)
        served.append(time.perf_counter() - started)
        alone.append(direct_s(bare, plan_of(metadata.plan), seed, pairs, workers))
    await jobs.close()
    # The first round opens the sessions, and measures.
    rows = list(zip(created, served, alone, strict=True))[1:]
    return {
        "pairs": pairs,
        "first_creation_s": created[0],
        "creation_s": asdict(Spread.of([c for c, _, _ in rows])),
        "job_s": asdict(Spread.of([s for _, s, _ in rows])),
        "direct_s": asdict(Spread.of([d for _, _, d in rows])),
        "ratio": asdict(Spread.of([(s - c) / d for c, s, d in rows])),
        "ratio_with_creation": asdict(Spread.of([s / d for _, s, d in rows])),
    }


def plan_of(message: analysis_service_pb2.Plan) -> Plan:
    """A job's plan as the engine takes it."""
    return Plan(message.batch, message.sets, message.provider, tuple(message.rewrites))


async def beside_a_job(address: str, layer: str, channels: int, seconds: float) -> dict[str, float]:
    """Latency of hybridize beside a job, and the job's speed, of those that each has alone."""
    jobs = Jobs(address, layer)
    async with Load(address, layer, channels) as load:
        alone = await load.latencies(seconds)
        # Short shards, of which there are enough to tell the speed.
        name = (await jobs.start(99, 10**6, range(CHANNELS))).name
        while not await jobs.done(name):
            await asyncio.sleep(0.01)
        job_alone = await jobs.speed(name, lambda: asyncio.sleep(seconds))
        times: list[float] = []

        async def call() -> None:
            times.extend(await load.latencies(seconds))

        speed = await jobs.speed(name, call)
        await jobs.stop(name)
    await jobs.close()
    p50, p95 = (1e3 * np.quantile(times, (0.5, 0.95))).tolist()
    p95_alone = 1e3 * float(np.quantile(alone, 0.95))
    return {
        "p50_ms": p50,
        "p95_ms": p95,
        "p95_of_alone": p95 / p95_alone,
        "job_speed_of_alone": speed / job_alone,
    }


def with_and_without_turns(
    layer: str, channels: int, workers: int, seconds: float
) -> dict[str, object]:
    """The same load beside the same job on two servers, one of which knows no turns."""
    results: dict[str, object] = {}
    for name, share in (("with_turns", None), ("without_turns", 1.0)):
        with serving(workers, share) as server:
            results[name] = asyncio.run(beside_a_job(server.address, layer, channels, seconds))
    return results
