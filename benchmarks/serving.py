"""What serving costs: gRPC, batching and turns against the bare session runs behind them.

    make bench ARGS="--only serving"

The server is a process of its own, started as users start it; this process loads it through
grpc.aio, and takes turns with it as the bare engine, so that a noisy machine is noisy for both.
What counts is the ratios:

1. Latency of one hybridize at a time, above the bare session runs on the same pair: both upstream
   runs, and one spliced run that gives the reply's three images.
2. Throughput of many clients at once, as a share of the same session runs at their best batch, on
   as many threads.
3. An influence job through gRPC against the engine called directly: same plan, same pairs.
4. Latency of hybridize while a job runs, where jobs let it go first and where they do not, and the
   speed that the job keeps: both as ratios to what each has alone.
"""

import asyncio
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
import numpy as np
import onnx_ir as ir
from google.longrunning import operations_pb2, operations_pb2_grpc
from numpy.typing import NDArray

from benchmarks.machine import cores, this_machine
from graftscope.bundle import read_bundle, shipped
from graftscope.graph import HYBRIDS, ORIGINAL1, ORIGINAL2, SETS, splice
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    Plan,
    PriorPairs,
    SessionPool,
    shard_effects,
)
from graftscope.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    bundle_pb2,
    intervention_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    originals_pb2,
)

MODEL = "vae-celeba"
MEASURES = ("latency", "throughput", "job", "turns")
BATCHES = (1, 2, 4, 8, 16)
# What a module may be: a few of the layer's channels, others in every call.
CHANNELS = 8
SERVE = "from graftscope.client.cli import main; main()"


@dataclass(frozen=True)
class Spread:
    """Median of some rounds, and the range that half of them lie in."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """The median and the quartiles."""
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
        return cls(median, low, high)


@dataclass(frozen=True)
class Bare:
    """The engine without a server: what the replies cost by themselves."""

    generator: Generator
    layer: bundle_pb2.Layer

    def runs(self, pairs: range) -> Callable[[], object]:
        """Both upstream runs, and one spliced run that gives both originals and the hybrid."""
        latents1, latents2 = PriorPairs(self.generator, 0).latents(pairs)
        sets = np.zeros((3, self.layer.channels), dtype=np.bool_)
        sets[1], sets[2, :CHANNELS] = True, True
        session = self.generator.session(f"{self.layer.name}/hybrids", self._spliced)

        def run() -> NDArray[np.float32]:
            first = self.generator.record(self.layer, latents1)
            second = self.generator.record(self.layer, latents2)
            feeds = {
                ORIGINAL1: first.activation,
                ORIGINAL2: second.activation,
                SETS: sets,
                **first.carried,
            }
            hybrids: NDArray[np.float32] = session.run(feeds)[HYBRIDS].numpy()
            return hybrids

        run()
        return run

    def _spliced(self) -> ir.Model:
        downstream = ir.load(self.generator.folder.path / self.layer.downstream)
        return splice(downstream, activation=self.layer.tensor, channel_axis=1)

    def rate(self, batch: int, threads: int, seconds: float) -> tuple[float, float]:
        """Pairs a second of threads that do nothing else, and a pair's processor time (s)."""
        runs = [self.runs(range(i * batch, (i + 1) * batch)) for i in range(threads)]
        until = time.perf_counter() + seconds

        def loop(run: Callable[[], object]) -> int:
            done = 0
            while time.perf_counter() < until:
                run()
                done += batch
            return done

        started, before = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(threads) as executor:
            done = sum(executor.map(loop, runs))
        return done / (time.perf_counter() - started), (time.process_time() - before) / done


@dataclass(frozen=True)
class Served:
    """A server in a process of its own.

    Attributes:
        address: HOST:PORT.
        process: its process's number.
    """

    address: str
    process: int

    def cpu_s(self) -> float:
        """Processor time that it has taken so far; NaN where the system does not tell."""
        stat = Path(f"/proc/{self.process}/stat")
        if not stat.exists():
            return math.nan
        user, system = stat.read_text().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(workers: int, job_share: float | None = None) -> Iterator[Served]:
    """A server in a process of its own, over an empty state folder.

    Args:
        workers: its runs side by side.
        job_share: what jobs keep beside interactive calls; None for its default.

    Yields:
        The server, once it answers.
    """
    environment = dict(os.environ)
    if job_share is not None:
        environment["GRAFTSCOPE_JOB_SHARE"] = str(job_share)
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-c", SERVE, "serve", "--json", "--listen", "127.0.0.1:0"]
        command += ["--state", state, "--workers", str(workers), "--log-level", "warning"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield Served(json.loads(process.stdout.readline())["address"], process.pid)
        finally:
            process.terminate()
            process.wait()


def hybridize_request(layer: str, number: int, channels: int) -> model_service_pb2.HybridizeRequest:
    """A pair and a set E of its own for every number."""
    chosen = sorted((number * 7 + i) % channels for i in range(CHANNELS))
    edit = intervention_pb2.Edit(
        layer=layer,
        channels=intervention_pb2.Channels(indices=chosen),
        swap=intervention_pb2.Swap(),
    )
    return model_service_pb2.HybridizeRequest(
        model=f"models/{MODEL}",
        intervention=intervention_pb2.Intervention(edits=[edit]),
        pairs=originals_pb2.Pairs(seed=number, count=1),
    )


class Load:
    """Clients over one channel, each with one call at a time.

    Args:
        address: of the server.
        layer: where hybrids are spliced.
        channels: of that layer.
    """

    def __init__(self, address: str, layer: str, channels: int) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._hybridize = model_service_pb2_grpc.ModelServiceStub(self._channel).Hybridize
        self._layer, self._channels = layer, channels
        self._numbers = itertools.count()

    async def __aenter__(self) -> "Load":
        await self.call()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def call(self) -> float:
        """Makes a call and gives its seconds."""
        request = hybridize_request(self._layer, next(self._numbers), self._channels)
        started = time.perf_counter()
        reply: Awaitable[model_service_pb2.HybridizeResponse] = self._hybridize(request)
        assert (await reply).hybrid.tensor.data
        return time.perf_counter() - started

    async def latencies(self, seconds: float) -> list[float]:
        """Seconds of calls made one after the other."""
        until, times = time.perf_counter() + seconds, []
        while time.perf_counter() < until:
            times.append(await self.call())
        return times

    async def rate(self, clients: int, seconds: float) -> tuple[int, float]:
        """How many calls so many clients make, and how many that is a second."""
        started = time.perf_counter()
        made = await asyncio.gather(*(self.latencies(seconds) for _ in range(clients)))
        calls = sum(map(len, made))
        return calls, calls / (time.perf_counter() - started)


async def latency_above_bare(
    load: Load, bare: Bare, rounds: int, seconds: float
) -> dict[str, object]:
    """Milliseconds of one hybridize at a time, and those of the session runs behind it."""
    run = bare.runs(range(1))
    served, alone = [], []
    for _ in range(rounds):
        alone.append(1e3 * statistics.median(_times(run, seconds)))
        served.append(1e3 * statistics.median(await load.latencies(seconds)))
    above = [s - a for s, a in zip(served, alone, strict=True)]
    return {
        "hybridize_ms": asdict(Spread.of(served)),
        "session_runs_ms": asdict(Spread.of(alone)),
        "above_ms": asdict(Spread.of(above)),
    }


async def throughput_share(
    server: Served,
    load: Load,
    bare: Bare,
    *,
    clients: int,
    threads: int,
    rounds: int,
    seconds: float,
) -> dict[str, object]:
    """Pairs a second of many clients as a share of the bare batched rate.

    The clients take processor time too, on the same cores; `cpu_share` compares that of the session
    runs alone with that of the server's process, so that it leaves the clients out.
    """
    batch = max(BATCHES, key=lambda size: bare.rate(size, threads, seconds)[0])
    await load.rate(clients, seconds)
    served, alone, cpu_shares = [], [], []
    for _ in range(rounds):
        rate, cpu_s = bare.rate(batch, threads, seconds)
        alone.append(rate)
        before = server.cpu_s()
        calls, rate = await load.rate(clients, seconds)
        served.append(rate)
        cpu_shares.append(cpu_s * calls / (server.cpu_s() - before))
    shares = [s / a for s, a in zip(served, alone, strict=True)]
    return {
        "clients": clients,
        "bare_batch": batch,
        "bare_threads": threads,
        "bare_pairs_per_s": asdict(Spread.of(alone)),
        "served_pairs_per_s": asdict(Spread.of(served)),
        "share": asdict(Spread.of(shares)),
        "cpu_share": asdict(Spread.of(cpu_shares)),
    }


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

    When a job is created its plan is chosen by a short measurement, which the shards alone take as
    given: the share of that shrinks with the job's length.
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
    # The first round opens the sessions.
    rows = list(zip(created, served, alone, strict=True))[1:]
    return {
        "pairs": pairs,
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


def measure(
    layer_name: str,
    what: Collection[str],
    *,
    clients: int = 64,
    workers: int | None = None,
    rounds: int = 5,
    round_s: float = 2.0,
    job_pairs: int = 512,
) -> dict[str, object]:
    """Some of `MEASURES`, in one run."""
    workers = workers or cores()
    generator = Generator(read_bundle(shipped()[MODEL]), SessionPool(Device.CPU, 16))
    layer = generator.layer(layer_name)
    bare = Bare(generator, layer)

    async def on(server: Served) -> dict[str, object]:
        found: dict[str, object] = {}
        async with Load(server.address, layer.name, layer.channels) as load:
            if "latency" in what:
                found["latency"] = await latency_above_bare(load, bare, rounds, round_s)
            if "throughput" in what:
                found["throughput"] = await throughput_share(
                    server,
                    load,
                    bare,
                    clients=clients,
                    threads=workers,
                    rounds=rounds,
                    seconds=round_s,
                )
        if "job" in what:
            arguments = (server.address, bare, job_pairs, workers, rounds)
            found["job"] = await job_over_direct(*arguments)
        return found

    with serving(workers) as server:
        results = asyncio.run(on(server))
    if "turns" in what:
        seconds = 5 * round_s
        results["turns"] = with_and_without_turns(layer.name, layer.channels, workers, seconds)
    facts = {
        "processor": str(this_machine()),
        "model": MODEL,
        "layer": layer.name,
        "workers": workers,
    }
    return {**facts, "rounds": rounds, **results}


def _times(work: Callable[[], object], seconds: float) -> list[float]:
    until, times = time.perf_counter() + seconds, []
    while time.perf_counter() < until:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return times
