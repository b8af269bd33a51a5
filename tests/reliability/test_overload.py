"""More than a server can do: refusals come at once, health is answered, and it is over soon."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from graftscope.v1 import model_service_pb2_grpc
from reliability import _load
from reliability._processes import Running, server, told, within

MODEL, LAYER = "toy-vae", "deconv2"
PAIRS = 64
QUEUE = 24
ONE_CALLER = 18
"""What one address has of the queue while nobody else calls."""

REFUSED_S = within(0.1)
HEALTH_S = within(1.0)
NORMAL_AFTER_S = 2.0
WAIT_S = 60.0


@dataclass
class Seen:
    """What one caller sees who asks one thing after the other, beside all others.

    Attributes:
        health: how long health checks took, in seconds.
        refused: how long refusals took, in seconds.
    """

    health: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)


@contextmanager
def a_caller(address: str) -> Iterator[Seen]:
    """Asks for health, and for hybrids, some ten times a second over a connection of its own."""
    seen, over = Seen(), threading.Event()

    def ask() -> None:
        with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            models: Any = model_service_pb2_grpc.ModelServiceStub(channel)
            while not over.wait(0.1):
                started_s = time.perf_counter()
                health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
                seen.health.append(time.perf_counter() - started_s)
                started_s = time.perf_counter()
                try:
                    models.Hybridize(_load.request(MODEL, LAYER, 1, 0), timeout=WAIT_S)
                except grpc.RpcError:
                    seen.refused.append(time.perf_counter() - started_s)

    with ThreadPoolExecutor(1) as executor:
        asking = executor.submit(ask)
        try:
            yield seen
        finally:
            over.set()
            asking.result()


def flood(
    running: Running, calls: int, rate: float, deadline_s: float = WAIT_S, pairs: int = PAIRS
) -> dict[str, list[float]]:
    """Seconds of calls at a steady rate, by their status; at once where the rate is 0."""
    arguments = [running.address, MODEL, LAYER, pairs, calls, rate, deadline_s]
    done = subprocess.run(
        [sys.executable, _load.__file__, *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def capacity(running: Running, seconds: float) -> float:
    """Calls a second that are answered where eight at a time are asked."""
    with grpc.insecure_channel(running.address) as channel, ThreadPoolExecutor(8) as executor:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        ends_s = time.perf_counter() + seconds

        def ask(number: int) -> int:
            done = 0
            while time.perf_counter() < ends_s:
                stub.Hybridize(_load.request(MODEL, LAYER, PAIRS, number), timeout=WAIT_S)
                done += 1
            return done

        return sum(executor.map(ask, range(8))) / seconds


def one_call_s(running: Running) -> float:
    """The quickest of three calls, one after the other."""
    with grpc.insecure_channel(running.address) as channel:
        stub: Any = model_service_pb2_grpc.ModelServiceStub(channel)
        found = []
        for number in range(3):
            started_s = time.perf_counter()
            stub.Hybridize(_load.request(MODEL, LAYER, PAIRS, number), timeout=WAIT_S)
            found.append(time.perf_counter() - started_s)
        return min(found)


@pytest.fixture
def running(toy_vae_bundle: Path, tmp_path: Path) -> Iterator[Running]:
    environment = {"GRAFTSCOPE_QUEUE": str(QUEUE)}
    with server([toy_vae_bundle], tmp_path / "state", environment=environment) as running:
        yield running


def _overloaded(running: Running, measured_s: float, seconds: float) -> None:
    """Four times as many calls as can be answered."""
    alone_s = one_call_s(running)
    rate = 4 * capacity(running, measured_s)
    with a_caller(running.address) as seen:
        found = flood(running, round(rate * seconds), rate)
    time.sleep(NORMAL_AFTER_S)
    after_s = one_call_s(running)
    refused, served = found.get("RESOURCE_EXHAUSTED", []), found.get("OK", [])
    slowest = sorted(seen.refused)
    assert set(found) <= {"OK", "RESOURCE_EXHAUSTED"}, {x: len(y) for x, y in found.items()}
    assert refused
    assert served
    assert slowest
    told("calls a second at 4 x overload", f"{rate:.0f}", "none")
    told("served, refused with a time to ask again", f"{len(served)}, {len(refused)}", "none")
    told("refusals of one caller: how many", len(slowest), "at least 1")
    told("the median of them, s", f"{slowest[len(slowest) // 2]:.4f}", REFUSED_S)
    told("the slowest, s", f"{slowest[-1]:.4f}", f"{REFUSED_S} on a machine of its own")
    told("health, longest, s", f"{max(seen.health):.3f}", HEALTH_S)
    told("a call 2 s later, s", f"{after_s:.4f}", f"2 x {alone_s:.4f} + 0.05")
    assert slowest[len(slowest) // 2] <= REFUSED_S
    assert max(seen.health) <= HEALTH_S
    assert after_s <= within(2 * alone_s + 0.05)


@pytest.mark.soak
def test_at_four_times_the_load_refusals_come_at_once_and_health_is_answered(
    running: Running,
) -> None:
    _overloaded(running, 3.0, 20.0)


@pytest.mark.soak
@pytest.mark.parametrize("deadline_s", [60.0, 1.0])
def test_eight_thousand_calls_at_once_are_served_or_refused_with_a_reason(
    running: Running, deadline_s: float
) -> None:
    before = running.resident_bytes
    with a_caller(running.address) as seen:
        found = flood(running, 8_000, 0, deadline_s, pairs=1)
    counts = {status: len(seconds) for status, seconds in found.items()}
    told(f"8,000 calls at once, deadline {deadline_s:g} s", counts, "none bare")
    told("health, longest, s", f"{max(seen.health):.3f}", "none")
    told("growth, MiB", (running.resident_bytes - before) >> 20, "none")
    assert set(counts) <= {"OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
    assert sum(counts.values()) == 8_000
    assert one_call_s(running) < 1.0
