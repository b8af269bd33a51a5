"""Memory and descriptors stay what they are over many calls, and a leak would be seen."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from graftscope.bundle import shipped
from graftscope.v1 import (
    intervention_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    originals_pb2,
)
from reliability._processes import MIB, PROGRAM, Running, server, told

SOAK = (pytest.mark.soak, pytest.mark.timeout(1800))
GROWTH_BYTES = 10 * MIB
CALLERS = 4
CLOSED_WITHIN_S = 10.0
POLL_S = 0.02

# Every hybrid that is ever made is kept: 48 KiB each.
LEAKING = """
import numpy as np
from graftscope.server.engine import _samples_and_hybrids as made
kept, split = [], made._split
def _split(images, drawn):
    hybrids = split(images, drawn)
    kept.extend(np.array(each.hybrid) for each in hybrids)
    return hybrids
made._split = _split
"""

Stub = model_service_pb2_grpc.ModelServiceStub


@contextmanager
def _served(tmp_path: Path, program: str = PROGRAM, **environment: str) -> Iterator[Running]:
    bundle = shipped()["vae-celeba"]
    with server([bundle], tmp_path / "state", environment=environment, program=program) as running:
        yield running


def _hybridize(stub: Stub, layer: str = "deconv2", pairs: int = 1, seed: int = 0) -> None:
    intervention = intervention_pb2.Intervention()
    intervention.edits.add(layer=layer).channels.indices.append(0)
    request = model_service_pb2.HybridizeRequest(
        model="models/vae-celeba",
        intervention=intervention,
        pairs=originals_pb2.Pairs(count=pairs, seed=seed),
    )
    stub.Hybridize(request)


def _many(running: Running, count: int) -> None:
    """So many calls of two pairs, several at a time."""
    with grpc.insecure_channel(running.address) as channel, ThreadPoolExecutor(CALLERS) as callers:
        stub = Stub(channel)
        list(callers.map(lambda seed: _hybridize(stub, pairs=2, seed=seed), range(count)))


def _grown(running: Running, work: Callable[[], None], warm: Callable[[], None]) -> tuple[int, int]:
    """By how many bytes and descriptors the server grows during work, once it is warm."""
    warm()
    before, descriptors = running.resident_bytes, running.descriptors
    work()
    grown = running.resident_bytes - before
    # A server hears after its client that a connection is over; what is leaked stays open.
    until_s = monotonic() + CLOSED_WITHIN_S
    while running.descriptors > descriptors and monotonic() < until_s:
        sleep(POLL_S)
    return grown, running.descriptors - descriptors


def _hybridized(tmp_path: Path, calls: int, warm: int, program: str = PROGRAM) -> tuple[int, int]:
    with _served(tmp_path, program) as running:
        return _grown(running, partial(_many, running, calls), partial(_many, running, warm))


@pytest.mark.parametrize(("calls", "warm"), [(200, 100), pytest.param(10_000, 1000, marks=SOAK)])
def test_calls_leave_nothing_behind(tmp_path: Path, calls: int, warm: int) -> None:
    grown, descriptors = _hybridized(tmp_path, calls, warm)
    told(f"growth over {calls} hybridize calls", f"{grown / MIB:.1f} MiB", "at most 10 MiB")
    told(f"descriptors over {calls} hybridize calls", descriptors, "0 more")
    assert grown <= GROWTH_BYTES
    assert descriptors <= 0


def test_a_server_that_keeps_what_it_made_fails_the_same_check(tmp_path: Path) -> None:
    grown, _ = _hybridized(tmp_path, 200, 100, LEAKING + PROGRAM)
    told("growth over 200 calls, leaking on purpose", f"{grown / MIB:.1f} MiB", "above 10 MiB")
    assert grown > GROWTH_BYTES


@pytest.mark.parametrize(("cycles", "warm"), [(16, 16), pytest.param(400, 50, marks=SOAK)])
def test_sessions_that_are_opened_run_and_closed_leave_nothing(
    tmp_path: Path, cycles: int, warm: int
) -> None:
    layers = ("fc", "deconv1", "deconv2", "deconv3")

    def cycle(running: Running, count: int) -> None:
        with grpc.insecure_channel(running.address) as channel:
            for at in range(count):
                # Two sessions a layer: four stay open, so that each is opened anew.
                _hybridize(Stub(channel), layers[at % len(layers)])

    with _served(tmp_path, GRAFTSCOPE_SESSIONS="4") as running:
        cycling, warming = partial(cycle, running, cycles), partial(cycle, running, warm)
        grown, descriptors = _grown(running, cycling, warming)
        if grown > GROWTH_BYTES:
            # What the allocator keeps once, it does not take again; a leak goes on.
            grown, descriptors = _grown(running, cycling, warming)
    told(f"growth over {cycles} loads and unloads", f"{grown / MIB:.1f} MiB", "at most 10 MiB")
    assert grown <= GROWTH_BYTES
    assert descriptors <= 0


def _may_be_asked_again(error: grpc.RpcError) -> bool:
    """Whether it is RESOURCE_EXHAUSTED, and says when."""
    call = cast(grpc.Call, error)
    status = rpc_status.from_call(call)
    details = status.details if status else []
    says_when = any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in details)
    return says_when and call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_twelve_large_calls_at_once_stay_below_the_limit(tmp_path: Path) -> None:
    limit_mib, calls, pairs = 1024, 12, 1800
    refused = list[float]()

    def call(stub: Stub) -> None:
        until = monotonic() + 900
        while True:
            try:
                return _hybridize(stub, pairs=pairs)
            except grpc.RpcError as error:
                if monotonic() > until or not _may_be_asked_again(error):
                    raise
                refused.append(monotonic())

    with _served(tmp_path, GRAFTSCOPE_MEMORY_GIB=str(limit_mib / 1024)) as running:
        with (
            grpc.insecure_channel(running.address) as channel,
            ThreadPoolExecutor(calls) as callers,
        ):
            list(callers.map(lambda _: call(Stub(channel)), range(calls)))
        peak = running.peak_bytes
    told(f"peak of {calls} calls of {pairs} pairs", f"{peak / MIB:.0f} MiB", f"{limit_mib} MiB")
    told("of which were told to ask again", len(refused), "any number, with RetryInfo")
    assert peak <= limit_mib * MIB
