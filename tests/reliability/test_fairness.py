"""Whoever asks for little is answered soon, and jobs get on, whatever others ask for.

Each figure is a ratio of two that are measured in turn on the same server, so that a busy machine
is busy for both.
"""

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc

from graftscope.bundle import shipped
from graftscope.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    intervention_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    originals_pb2,
)
from reliability._processes import server, told

MODEL, LAYER, CHANNELS = "vae-celeba", "intermediate", 64
ROUNDS = 5
LOAD_S = 4.0
LEAST_SHARE = 0.2
MOST_P95 = 2.0
LONG_PAIRS = 3_200_000
TIMEOUT_S = 60.0

_NUMBERS = itertools.count()


@dataclass
class Caller:
    """Somebody with a channel of their own."""

    address: str

    def __post_init__(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(self.address, options)
        self._models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self._analyses = analysis_service_pb2_grpc.AnalysisServiceStub(self.channel)
        self._operations = operations_pb2_grpc.OperationsStub(self.channel)

    def hybridize(self, *edits: intervention_pb2.Edit) -> float:
        """One pair with an intervention of its own; seconds."""
        number = next(_NUMBERS)
        request = model_service_pb2.HybridizeRequest(
            model=f"models/{MODEL}",
            intervention=intervention_pb2.Intervention(edits=edits or [swap(LAYER, number)]),
            pairs=originals_pb2.Pairs(seed=number, count=1),
        )
        started = time.perf_counter()
        self._models.Hybridize(request, timeout=TIMEOUT_S)
        return time.perf_counter() - started

    def latencies(self, seconds: float) -> list[float]:
        """Of calls made one after another."""
        until = time.perf_counter() + seconds
        found = []
        while time.perf_counter() < until:
            found.append(self.hybridize())
        return found

    def start(self, seed: int, pairs: int, channels: int = CHANNELS) -> str:
        """A job's name."""
        request = analysis_service_pb2.InfluenceRequest(
            model=f"models/{MODEL}",
            layer=LAYER,
            each_channel=intervention_pb2.Channels(indices=range(channels)),
            pairs=originals_pb2.Pairs(seed=seed, count=pairs),
        )
        return str(self._analyses.Influence(request, timeout=TIMEOUT_S).name)

    def metadata(self, name: str) -> analysis_service_pb2.AnalysisMetadata:
        request = operations_pb2.GetOperationRequest(name=name)
        operation = self._operations.GetOperation(request, timeout=TIMEOUT_S)
        metadata = analysis_service_pb2.AnalysisMetadata()
        assert operation.metadata.Unpack(metadata)
        return metadata

    def shards_done(self, name: str) -> int:
        return self.metadata(name).progress.shards_done

    def cancel(self, name: str) -> None:
        self._operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))

    def wait_for(self, name: str, shards: int) -> None:
        """Until so many shards of a job are done."""
        while self.shards_done(name) < shards:
            time.sleep(0.02)


def swap(layer: str, number: int) -> intervention_pb2.Edit:
    chosen = sorted((number * 7 + i) % CHANNELS for i in range(8))
    return intervention_pb2.Edit(
        layer=layer,
        channels=intervention_pb2.Channels(indices=chosen),
        swap=intervention_pb2.Swap(),
    )


def p95(times: list[float]) -> float:
    return float(np.quantile(times, 0.95))


class Speed:
    """How many shards a second a job gets done from now on."""

    def __init__(self, caller: Caller, name: str) -> None:
        self._caller, self._name = caller, name
        self._before, self._started = caller.shards_done(name), time.perf_counter()

    def now(self) -> float:
        done = self._caller.shards_done(self._name) - self._before
        return done / (time.perf_counter() - self._started)


@contextmanager
def constantly(work: Callable[[], object], callers: int = 1) -> Iterator[None]:
    """Does something again and again, in so many threads, for as long as the block lasts."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            work()

    threads = [threading.Thread(target=go_on) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with server([shipped()[MODEL]], tmp_path / "state") as running:
        yield running.address


@pytest.mark.soak
@pytest.mark.parametrize("clients", [1, 4])
def test_a_job_keeps_a_fifth_of_its_speed_under_constant_calls(address: str, clients: int) -> None:
    caller = Caller(address)
    # Few channels, so that shards are short and their number tells the speed.
    name = caller.start(seed=1, pairs=LONG_PAIRS, channels=8)
    caller.wait_for(name, 1)
    caller.latencies(1.0)
    shares, slower = [], []
    for _ in range(ROUNDS):
        speed = Speed(caller, name)
        time.sleep(LOAD_S / 2)
        alone = speed.now()
        with constantly(caller.hybridize, clients - 1):
            speed = Speed(caller, name)
            beside = caller.latencies(LOAD_S)
            loaded = speed.now()
        shares.append(loaded / alone)
        slower.append(p95(beside))
    caller.cancel(name)
    time.sleep(1.0)
    with constantly(caller.hybridize, clients - 1):
        quiet = p95(caller.latencies(LOAD_S))
    share, times = statistics.median(shares), statistics.median(slower) / quiet
    told(f"a job's speed under {clients} callers, of that alone", f"{share:.2f}", LEAST_SHARE)
    told(f"p95 of {clients} callers beside it, of that alone", f"{times:.2f}", MOST_P95)
    assert share >= LEAST_SHARE
    assert times <= MOST_P95
