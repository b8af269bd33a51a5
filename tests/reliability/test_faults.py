"""A full disk, a locked database, a flipped byte, a clock set back: no crash, and it recovers.

Every fault is a real one and ends while the server runs; then the same request gives the same bits.
"""

import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from graftscope.client import Client, GraftscopeError, InfluenceResult, InfluenceTask
from reliability._processes import Running, server, told, within

FAULT_S = 5.0
HEALTH_S = within(1.0)
WAIT_S = 60.0
PAIRS = 16_000
TOLERANCE = 1e-5

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def task(seed: int, pairs: int = PAIRS) -> InfluenceTask:
    return InfluenceTask(model="toy-vae", layer="intermediate", pairs=pairs, seed=seed)


@contextmanager
def serving(bundle: Path, state: Path, **environment: str) -> Iterator[tuple[Running, Client]]:
    with server([bundle], state, environment={"GRAFTSCOPE_CHECKPOINT_S": "0.2", **environment}) as (
        running
    ):
        with Client(running.address) as client:
            yield running, client


@contextmanager
def full_disk(running: Running) -> Iterator[None]:
    """No file of the server grows."""
    _, hard = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Somebody else writes to the database and does not end."""
    with closing(sqlite3.connect(state / "jobs.db", isolation_level=None)) as database:
        database.execute("begin immediate")
        yield
        database.execute("rollback")


def health_s(running: Running) -> float:
    """Seconds until the server has said that it serves."""
    started_s = time.monotonic()
    with grpc.insecure_channel(running.address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        reply = check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
    return time.monotonic() - started_s


def endure(running: Running) -> float:
    """Lets the fault last, and gives the longest that health took."""
    until, longest = time.monotonic() + FAULT_S, 0.0
    while time.monotonic() < until:
        longest = max(longest, health_s(running))
        time.sleep(0.1)
    return longest


def flip(path: Path, offset: int = 100) -> None:
    """Another byte where one was."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def assert_same_bits(one: InfluenceResult, other: object) -> None:
    assert isinstance(other, InfluenceResult)
    for name in ("maps", "stderr", "individual", "individual_stderr"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["a full disk", "a locked database"])
def test_a_fault_of_seconds_costs_neither_the_server_nor_a_bit(
    fault: str, toy_vae_bundle: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with serving(toy_vae_bundle, state) as (running, client):
        running_job = client.start(task(1))
        with full_disk(running) if fault == "a full disk" else locked(state):
            with pytest.raises(GraftscopeError) as refused:
                client.wait(client.start(task(2, 64)).name)
            longest = endure(running)
        told(f"{fault}: health at the longest, s", f"{longest:.2f}", HEALTH_S)
        assert longest <= HEALTH_S
        assert "sql" not in str(refused.value).lower()
        assert str(tmp_path) not in str(refused.value)
        after = client.wait(client.start(task(1)).name)
        assert isinstance(after, InfluenceResult)
        again = client.influence("toy-vae", "intermediate", pairs=64, seed=2)
        assert again.pairs == 64
        assert running.process.poll() is None
        assert client.job(running_job.name).done
        client.delete(client.start(task(1)).name)
        anew = client.wait(client.start(task(1)).name)
        assert isinstance(anew, InfluenceResult)
        # Another job may have another plan, so its last bits may differ.
        np.testing.assert_allclose(after.maps, anew.maps, rtol=0, atol=TOLERANCE)


@pytest.mark.soak
def test_a_flipped_byte_of_a_result_is_noticed_and_computed_anew(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with serving(toy_vae_bundle, state) as (_, client):
        job = client.start(task(1, 64))
        whole = client.wait(job.name)
        assert isinstance(whole, InfluenceResult)
        (maps,) = [
            path
            for path in (state / "artifacts").rglob("*")
            if path.is_file() and path.stat().st_size == whole.maps.nbytes
        ][:1]
        flip(maps)
        with pytest.raises(GraftscopeError, match="damaged"):
            client.result(job.name)
        assert_same_bits(whole, client.wait(client.start(task(1, 64)).name))


@pytest.mark.soak
@pytest.mark.skipif(not FAKETIME.exists(), reason="Debian's libfaketime is not installed")
def test_a_clock_set_back_an_hour_changes_nothing(toy_vae_bundle: Path, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with serving(toy_vae_bundle, tmp_path / "state", **faked) as (running, client):
        job = client.start(task(1))
        clock.write_text("-1h")
        result = client.wait(job.name)
        assert isinstance(result, InfluenceResult)
        assert health_s(running) <= HEALTH_S
        ended = client.job(job.name)
        assert ended.created is not None
        assert ended.ended is not None
        assert ended.created <= ended.ended
        assert_same_bits(result, client.result(job.name))
