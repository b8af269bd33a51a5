"""What serving costs: gRPC, batching and turns against the bare session runs behind them.

    make bench ARGS="--only serving"

The server is a process of its own, started as users start it; this process loads it through
grpc.aio, and takes turns with it as the bare engine, so that a noisy machine is noisy for both.
What counts is the ratios:

1. Latency of one hybridize at a time, above the bare session runs on the same pair: both upstream
   runs, and one spliced run that gives the reply's three images; through TCP and a unix socket.
2. Throughput of many clients at once, as a share of the same session runs at their best batch, on
   as many threads.
   Beside both: what the same message takes through a bare gRPC server, which is the floor.
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
from benchmarks.serving_grpc import bare_grpc
from benchmarks.serving_jobs import job_over_direct, with_and_without_turns
from benchmarks.serving_load import MODEL, Drag, Load, Served, Spread, median_ms, serving
from graftscope.bundle import read_bundle, shipped
from graftscope.server.engine import Device, Generator, SessionPool
from graftscope.v1 import model_service_pb2

MEASURES = ("latency", "throughput", "drag", "job", "turns")


async def latency_above_bare(
    tcp: Served, grpc: Served, bare: Bare, workers: int, rounds: int, seconds: float
) -> dict[str, object]:
    """Milliseconds of one hybridize at a time, and those of the session runs behind it."""
    layer, run = bare.layer, bare.runs(range(1))
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        unix = stack.enter_context(serving(workers, listen=f"unix:{Path(folder) / 'socket'}"))
        ways = {
            name: await stack.enter_async_context(Load(to.address, layer.name, layer.channels))
            for name, to in (("tcp", tcp), ("unix", unix), ("grpc", grpc))
        }
        alone = []
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            alone.append(median_ms(times_of(run, seconds)))
            for name, way in ways.items():
                took[name].append(median_ms(await way.latencies(seconds)))

    def above(name: str, *others: list[float]) -> dict[str, float]:
        rows = zip(took[name], *others, strict=True)
        return asdict(Spread.of([first - sum(rest) for first, *rest in rows]))

    return {
        "hybridize_ms": asdict(Spread.of(took["tcp"])),
        "session_runs_ms": asdict(Spread.of(alone)),
        "above_ms": above("tcp", alone),
        "unix_above_ms": above("unix", alone),
        "same_message_through_bare_grpc_ms": asdict(Spread.of(took["grpc"])),
        "above_both_ms": above("tcp", alone, took["grpc"]),
    }


async def throughput_share(
    server: Served,
    grpc: Served,
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
    # By processor time, which others' work on the machine hardly changes.
    batch = min(BATCHES, key=lambda size: bare.rate(size, threads, seconds)[1])
    layer = bare.layer
    served, alone, cpu_shares, grpc_ms, most = [], [], [], [], []
    async with (
        Load(server.address, layer.name, layer.channels) as load,
        Load(grpc.address, layer.name, layer.channels) as echoes,
    ):
        await load.rate(clients, seconds)
        for _ in range(rounds):
            rate, cpu_s = bare.rate(batch, threads, seconds)
            alone.append(rate)
            call_s, rate = await cpu_of_a_call(server, load, clients, seconds)
            served.append(rate)
            cpu_shares.append(cpu_s / call_s)
            grpc_s, _ = await cpu_of_a_call(grpc, echoes, clients, seconds / 4)
            grpc_ms.append(1e3 * grpc_s)
            most.append(cpu_s / (cpu_s + grpc_s))
    shares = [s / a for s, a in zip(served, alone, strict=True)]
    return {
        "clients": clients,
        "bare_batch": batch,
        "bare_threads": threads,
        "bare_pairs_per_s": asdict(Spread.of(alone)),
        "served_pairs_per_s": asdict(Spread.of(served)),
        "share": asdict(Spread.of(shares)),
        "cpu_share": asdict(Spread.of(cpu_shares)),
        "bare_grpc_cpu_ms": asdict(Spread.of(grpc_ms)),
        "cpu_share_beside_bare_grpc_alone": asdict(Spread.of(most)),
    }


async def cpu_of_a_call(
    server: Served, load: Load, clients: int, seconds: float
) -> tuple[float, float]:
    """Seconds of a server's processor that a call takes, and calls a second."""
    before = server.cpu_s()
    calls, rate = await load.rate(clients, seconds)
    return (server.cpu_s() - before) / calls, rate


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
        with bare_grpc(generator.image_shape) as grpc:
            if "latency" in what:
                parts = (server, grpc, bare, workers, rounds, round_s)
                found["latency"] = await latency_above_bare(*parts)
            if "throughput" in what:
                found["throughput"] = await throughput_share(
                    server,
                    grpc,
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
