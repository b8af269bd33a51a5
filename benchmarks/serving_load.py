"""A server in a process of its own, and what loads it: calls one by one, clients at once, and
one who drags.
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
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import grpc
import numpy as np

from graftscope.v1 import (
    intervention_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    originals_pb2,
)

MODEL = "vae-celeba"
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
def serving(
    workers: int,
    job_share: float | None = None,
    listen: str = "127.0.0.1:0",
    options: Sequence[str] = (),
    state: Path | None = None,
    log: IO[bytes] | None = None,
) -> Iterator[Served]:
    """A server in a process of its own.

    Args:
        workers: its runs side by side.
        job_share: what jobs keep beside interactive calls; None for its default.
        listen: where it listens.
        options: more of `graftscope serve`.
        state: its state folder; None for one that is removed at the end.
        log: where its log goes; None for where this process's errors go.

    Yields:
        The server, once it answers.
    """
    environment = dict(os.environ)
    if job_share is not None:
        environment["GRAFTSCOPE_JOB_SHARE"] = str(job_share)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-c", SERVE, "serve", "--json", "--listen", listen]
        command += [
            "--state",
            str(state or scratch),
            "--workers",
            str(workers),
        ]
        if "--log-level" not in options:
            command += ["--log-level", "warning"]
        command += options
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
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


class Drag:
    """One who drags: an exploration, of which each image is waited for.

    Args:
        address: of the server.
        layer: where hybrids are spliced.
        channels: of that layer.
        how: of the start: how images are sent.
    """

    def __init__(self, address: str, layer: str, channels: int, **how: Any) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._call: Any = model_service_pb2_grpc.ModelServiceStub(self._channel).Explore()
        self._layer, self._channels, self._how = layer, channels, how
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> "Drag":
        start = model_service_pb2.ExploreStart(
            model=f"models/{MODEL}", pairs=originals_pb2.Pairs(count=1), **self._how
        )
        await self._shown(model_service_pb2.ExploreRequest(start=start))
        await self.image()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()
        await self._channel.close()

    async def image(self) -> float:
        """Asks for an image and gives the seconds until it is there."""
        asked = hybridize_request(self._layer, next(self._numbers), self._channels)
        return await self._shown(model_service_pb2.ExploreRequest(intervention=asked.intervention))

    async def latencies(self, seconds: float) -> list[float]:
        """Seconds of images asked for one after the other."""
        until, times = time.perf_counter() + seconds, []
        while time.perf_counter() < until:
            times.append(await self.image())
        return times

    async def _shown(self, request: model_service_pb2.ExploreRequest) -> float:
        request.number = next(self._numbers)
        started = time.perf_counter()
        await self._call.write(request)
        reply = await self._call.read()
        assert reply.number == request.number
        return time.perf_counter() - started


def median_ms(seconds: list[float]) -> float:
    """The median, in milliseconds."""
    return 1e3 * statistics.median(seconds)
