"""What metrics cost a call: a hybrid, and a look-up, which does almost nothing else.

    make bench ARGS="--only metrics"

Two servers in processes of their own, one with metrics that are scraped every 15 s, are asked the
same in turns, one call at a time; each call is compared with the other server's right beside it.
"""

import asyncio
import socket
import statistics
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc

from benchmarks import markdown
from benchmarks.access import LEVEL, MODEL, serving
from benchmarks.figures import Spread
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.serving_load import hybridize_request
from graftscope.bundle import read_bundle, shipped
from graftscope.v1 import model_service_pb2, model_service_pb2_grpc

WITHOUT, WITH = "without metrics", "with metrics"
MAY_TAKE = 1.01
"""Times as long, of a hybrid."""

_EVERY_S = 15.0

_Ask = Callable[[int], Awaitable[object]]


def measure(options: Options, _: Machine) -> dict[str, object]:
    """Milliseconds with and without, and their ratio, of each call."""
    rounds, calls = (2, 20) if options.quick else (9, 300)
    with TemporaryDirectory() as folder:
        return asyncio.run(_measured(Path(folder), options.cores, rounds, calls))


async def _measured(folder: Path, workers: int, rounds: int, calls: int) -> dict[str, object]:
    port = _free_port()
    ways = {WITHOUT: [], WITH: ["--metrics", str(port)]}
    async with AsyncExitStack() as stack:
        asks: dict[str, dict[str, _Ask]] = {}
        for way, more in ways.items():
            address = stack.enter_context(serving(more, folder / way, workers))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            asks[way] = _asks(channel)
        scraping = asyncio.create_task(_scraping(f"http://127.0.0.1:{port}/metrics"))
        try:
            return {call: await _compared(asks, call, rounds, calls) for call in asks[WITH]}
        finally:
            scraping.cancel()
            with suppress(asyncio.CancelledError):
                await scraping


async def _compared(
    asks: Mapping[str, Mapping[str, _Ask]], call: str, rounds: int, calls: int
) -> dict[str, object]:
    medians: dict[str, list[float]] = {way: [] for way in asks}
    ratios = []
    for turn in range(1 + rounds):
        times: dict[str, list[float]] = {way: [] for way in asks}
        for number in range(calls):
            for way in sorted(asks, reverse=bool(number % 2)):
                started_s = time.perf_counter()
                await asks[way][call](number)
                times[way].append(time.perf_counter() - started_s)
        if not turn:
            continue  # The first opens the sessions.
        for way, found in times.items():
            medians[way].append(1e3 * statistics.median(found))
        pairs = zip(times[WITH], times[WITHOUT], strict=True)
        ratios.append(statistics.median(x / y for x, y in pairs))
    return {
        "ms": {way: asdict(Spread.of(found)) for way, found in medians.items()},
        "ratio": asdict(Spread.of(ratios)),
    }


def _asks(channel: grpc.aio.Channel) -> dict[str, _Ask]:
    stub: Any = model_service_pb2_grpc.ModelServiceStub(channel)
    layers = read_bundle(shipped()[MODEL]).manifest.layers
    layer = next(each for each in layers if each.level == LEVEL)
    look = model_service_pb2.GetModelRequest(name="models/nothing")

    async def hybrid(number: int) -> None:
        await stub.Hybridize(hybridize_request(layer.name, number, layer.channels))

    async def look_up(_: int) -> None:
        with suppress(grpc.aio.AioRpcError):  # That there is none is the shortest answer.
            await stub.GetModel(look)

    return {"hybrid": hybrid, "look-up": look_up}


async def _scraping(url: str) -> None:
    """As often as deploy/prometheus/prometheus.yml says."""

    def scrape() -> None:
        with urllib.request.urlopen(url) as answer:
            answer.read()

    while True:
        await asyncio.to_thread(scrape)
        await asyncio.sleep(_EVERY_S)


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])


def table(result: Mapping[str, Any]) -> str:
    """Beside how much longer it may take."""
    rows = [
        [
            call,
            *(markdown.ratio(Spread(**found["ms"][way])) for way in (WITHOUT, WITH)),
            markdown.ratio(Spread(**found["ratio"])),
            f"{MAY_TAKE}" if call == "hybrid" else "-",
        ]
        for call, found in result.items()
    ]
    head = ["call", f"{WITHOUT} (ms)", f"{WITH} (ms)", "with / without", "may be"]
    return markdown.table(head, rows)
