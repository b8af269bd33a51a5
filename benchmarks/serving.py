"""What serving costs: gRPC, batching and turns against the bare session runs behind them.

    make bench ARGS="--only serving"

The server is a process of its own, started as users start it; this process loads it through
grpc.aio, and takes turns with it as the bare engine, so that a noisy machine is noisy for both.
What counts is the ratios:

1. Latency of one hybridize at a time, above the bare session runs on the same pair: both upstream
   runs, and one spliced run that gives the reply's three images.
2. Throughput of many clients at once, as a share of the same session runs at their best batch, on
   as many threads.
3. Latency of one who drags, from the request to the image, above the run of one image, through TCP
   and through a unix socket.
4. An influence job through gRPC against the engine called directly: same plan, same pairs.
5. Latency of hybridize while a job runs, where jobs let it go first and where they do not, and the
   speed that the job keeps: both as ratios to what each has alone.
"""

import asyncio
import tempfile
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from benchmarks.machine import cores, this_machine
from benchmarks.serving_bare import BATCHES, Bare, times_of
from benchmarks.serving_jobs import job_over_direct, with_and_without_turns
from benchmarks.serving_load import MODEL, Drag, Load, Served, Spread, median_ms, serving
from graftscope.bundle import read_bundle, shipped
from graftscope.server.engine import Device, Generator, SessionPool
from graftscope.v1 import model_service_pb2

MEASURES = ("latency", "throughput", "drag", "job", "turns")


async def latency_above_bare(
    load: Load, bare: Bare, rounds: int, seconds: float
) -> dict[str, object]:
    """Milliseconds of one hybridize at a time, and those of the session runs behind it."""
    run = bare.runs(range(1))
    served, alone = [], []
    for _ in range(rounds):
        alone.append(median_ms(times_of(run, seconds)))
        served.append(median_ms(await load.latencies(seconds)))
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


async def drag_above_bare(
    tcp: Served, bare: Bare, workers: int, rounds: int, seconds: float
) -> dict[str, object]:
    """Milliseconds from an exploration's request to its image, and those of its run alone."""
    layer, run = bare.layer, bare.dragged()
    png = model_service_pb2.IMAGE_ENCODING_PNG
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        unix = stack.enter_context(serving(workers, listen=f"unix:{Path(folder) / 'socket'}"))
        ways = {
            "tcp_floats": Drag(tcp.address, layer.name, layer.channels),
            "tcp_bytes": Drag(tcp.address, layer.name, layer.channels, eight_bits=True),
            "tcp_png": Drag(tcp.address, layer.name, layer.channels, encoding=png),
            "unix_bytes": Drag(unix.address, layer.name, layer.channels, eight_bits=True),
        }
        for way in ways.values():
            await stack.enter_async_context(way)
        alone = []
        above: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            alone.append(median_ms(times_of(run, seconds)))
            for name, way in ways.items():
                above[name].append(median_ms(await way.latencies(seconds)) - alone[-1])
    told = {f"{name}_above_ms": asdict(Spread.of(x)) for name, x in above.items()}
    return {"run_ms": asdict(Spread.of(alone)), **told}


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
        if "drag" in what:
            found["drag"] = await drag_above_bare(server, bare, workers, rounds, round_s)
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
