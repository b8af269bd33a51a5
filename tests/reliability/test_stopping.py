"""What nobody waits for ends, and a server that is told to stop ends in its time."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from graftscope.bundle import shipped
from graftscope.client import Client, InfluenceTask
from graftscope.v1 import analysis_service_pb2, model_service_pb2, model_service_pb2_grpc
from graftscope.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from graftscope.v1.originals_pb2 import Pairs
from reliability._processes import Running, server, told, within

MODEL = "vae-celeba-beta10"
MANY = 5_000
"""Samples that take longer than any test waits."""
SOME = 600
"""Samples that take a second or a few."""

ENDED_WITHIN_S = within(2.0)
KEEPALIVE_S = 1.0
GRACE_S = 2.0
SLACK_S = within(2.0)
"""What Python takes to end once nothing is left to do, on a busy machine."""
TIMEOUT_S = 60.0
CANCELLED_BY_LIBRARY = "Cancelling all calls"

# grpc's stubs and its futures name too little of themselves.
Call = Any

CALLER = f"""
import sys
import grpc
from graftscope.v1 import model_service_pb2, model_service_pb2_grpc
from graftscope.v1.originals_pb2 import Pairs

with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = model_service_pb2.GenerateRequest(model="models/{MODEL}", samples=Pairs(count={MANY}))
    call = stub.Generate.future(request)
    print("asked", flush=True)
    call.result()
"""


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that soon asks whether its clients are still there."""
    state = tmp_path_factory.mktemp("stopping") / "state"
    with started(state, GRAFTSCOPE_KEEPALIVE_S=str(KEEPALIVE_S)) as running:
        yield running


@contextmanager
def started(state: Path, *options: str, **environment: str) -> Iterator[Running]:
    bundles = [shipped()[MODEL]]
    with server(bundles, state, options=options, environment=environment) as running:
        with grpc.insecure_channel(running.address) as channel:
            generate(channel, 1).result(TIMEOUT_S)  # Opens the session, which is not to be timed.
        yield running


def generate(channel: grpc.Channel, count: int, timeout_s: float | None = None) -> Call:
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = model_service_pb2.GenerateRequest(model=f"models/{MODEL}", samples=Pairs(count=count))
    return stub.Generate.future(request, timeout=timeout_s)


def busy(running: Running) -> None:
    """Waits until the server computes."""
    before_s, until_s = running.cpu_s, time.monotonic() + TIMEOUT_S
    while running.cpu_s < before_s + 0.3:
        assert time.monotonic() < until_s
        time.sleep(0.01)


def quiet_after_s(running: Running, since_s: float) -> float:
    """After how many seconds the server's processor time stood still, and then for a while."""
    last_s, at_s = running.cpu_s, time.monotonic()
    while time.monotonic() - at_s < 0.5:
        time.sleep(0.01)
        # A tick is 10 ms; pings and timers take one now and then.
        if running.cpu_s > last_s + 0.03:
            last_s, at_s = running.cpu_s, time.monotonic()
        assert at_s - since_s < TIMEOUT_S, "the server computes on"
    return at_s - since_s


@contextmanager
def caller(running: Running) -> Iterator["subprocess.Popen[str]"]:
    """A client in a process of its own, for which the server computes."""
    with subprocess.Popen(
        [sys.executable, "-c", CALLER, running.address], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            busy(running)
            yield process
        finally:
            process.kill()


def test_nothing_is_computed_for_a_client_that_was_killed(serving: Running) -> None:
    with caller(serving) as process:
        process.kill()
        took_s = quiet_after_s(serving, time.monotonic())
    told("client killed: compute ends after, s", f"{took_s:.2f}", ENDED_WITHIN_S)
    assert took_s <= ENDED_WITHIN_S


def test_nothing_is_computed_for_a_client_that_has_frozen(serving: Running) -> None:
    dropped_within_s = 1.5 * KEEPALIVE_S + within(5.0)
    with caller(serving) as process:
        process.send_signal(signal.SIGSTOP)
        took_s = quiet_after_s(serving, time.monotonic())
        process.send_signal(signal.SIGCONT)
    told("client frozen, keepalive 1 s: compute ends after, s", f"{took_s:.2f}", dropped_within_s)
    assert took_s <= dropped_within_s


@pytest.mark.soak
def test_a_frozen_client_is_dropped_in_time_with_what_is_set_by_default(tmp_path: Path) -> None:
    dropped_within_s = 15 + 7.5 + 5
    with started(tmp_path / "state") as running, caller(running) as process:
        process.send_signal(signal.SIGSTOP)
        took_s = quiet_after_s(running, time.monotonic())
    told("client frozen, keepalive 15 s: compute ends after, s", f"{took_s:.2f}", dropped_within_s)
    assert took_s <= dropped_within_s


def test_a_deadline_ends_the_call_and_what_it_computes(serving: Running) -> None:
    with grpc.insecure_channel(serving.address) as channel:
        generate(channel, 1).result(TIMEOUT_S)
        started_s = time.monotonic()
        call = generate(channel, MANY, timeout_s=0.5)
        assert code_of(call) is grpc.StatusCode.DEADLINE_EXCEEDED
        ended_s = time.monotonic() - started_s
        free_s = quiet_after_s(serving, time.monotonic())
    told("deadline of 0.5 s on a long call: ends after, s", f"{ended_s:.3f}", "0.5 +- 0.1")
    told("deadline of 0.5 s on a long call: thread free after, s", f"{free_s:.2f}", ENDED_WITHIN_S)
    assert 0.4 <= ended_s <= 0.5 + within(0.1)
    assert free_s <= ENDED_WITHIN_S


def test_a_watcher_who_leaves_cancels_nothing(serving: Running) -> None:
    with Client(serving.address) as client, grpc.insecure_channel(serving.address) as channel:
        job = client.start(InfluenceTask(model=MODEL, layer="deconv1", pairs=50_000))
        request = analysis_service_pb2.WatchOperationRequest(name=job.name)
        watching = AnalysisServiceStub(channel).WatchOperation(request)
        next(watching)
        watching.cancel()
        shards = client.job(job.name).progress.shards_done
        until(lambda: client.job(job.name).progress.shards_done > shards)
        client.cancel(job.name)
        started_s = time.monotonic()
        until(lambda: client.job(job.name).done)
        took_s = quiet_after_s(serving, started_s)
    told("influence job cancelled: compute ends after, s", f"{took_s:.2f}", ENDED_WITHIN_S)
    assert took_s <= ENDED_WITHIN_S


def until(holds: Callable[[], bool]) -> None:
    until_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def code_of(call: Call) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError):
        call.result(TIMEOUT_S)
    code: grpc.StatusCode = call.code()
    return code


def assert_told_to_ask_again(
    call: Call,
) -> None:
    assert code_of(call) is grpc.StatusCode.UNAVAILABLE
    status = rpc_status.from_call(call)
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(retry)
    assert (info.reason, retry.retry_delay.seconds) == ("SERVER_STOPPING", 1)


def health_stub(channel: grpc.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


def health(channel: grpc.Channel) -> int:
    request = health_pb2.HealthCheckRequest()
    return int(health_stub(channel).Check(request, timeout=TIMEOUT_S).status)


NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_server_that_is_told_to_stop_lets_calls_finish_and_puts_jobs_away(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    with started(state) as running:
        with Client(running.address) as client, grpc.insecure_channel(running.address) as channel:
            job = client.start(InfluenceTask(model=MODEL, layer="deconv1", pairs=500_000))
            until(lambda: client.job(job.name).progress.shards_done > 0)
            watching = health_stub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
            call = generate(channel, SOME)
            busy(running)
            running.process.send_signal(signal.SIGTERM)
            stopped_s = time.monotonic()
            until(lambda: health(channel) == NOT_SERVING)
            not_serving_s = time.monotonic() - stopped_s
            assert_told_to_ask_again(generate(channel, 1))
            assert next(watching).status == NOT_SERVING
            assert not call.done(), "the call is too short to be going on"
            assert call.result(TIMEOUT_S)
        assert running.process.wait(TIMEOUT_S) == 0
        ended_s = time.monotonic() - stopped_s
    told("SIGTERM: health says NOT_SERVING after, s", f"{not_serving_s:.2f}", 0.5)
    told("SIGTERM: exit 0, a call of a second finished, after, s", f"{ended_s:.2f}", 30)
    assert not_serving_s <= within(0.5)
    said = running.log.read_text()
    assert CANCELLED_BY_LIBRARY not in said
    assert "Traceback" not in said
    with started(state) as again, Client(again.address) as client:
        # Looked at before a new attempt can have done its first shard: what was put away is there.
        assert client.job(job.name).progress.shards_done > 0


def log_of(running: Running) -> str:
    return running.log.read_text()


def test_what_is_left_at_the_end_of_the_grace_is_told_to_ask_again(tmp_path: Path) -> None:
    with started(tmp_path / "state", "--grace", str(GRACE_S)) as running:
        with grpc.insecure_channel(running.address) as channel:
            call = generate(channel, MANY)
            busy(running)
            running.process.send_signal(signal.SIGHUP)
            stopped_s = time.monotonic()
            assert_told_to_ask_again(call)
        assert running.process.wait(TIMEOUT_S) == 0
        ended_s = time.monotonic() - stopped_s
    within_s = GRACE_S + SLACK_S
    told("SIGHUP, grace 2 s, a long call: exit 0 after, s", f"{ended_s:.2f}", within_s)
    assert ended_s <= within_s
    assert CANCELLED_BY_LIBRARY not in log_of(running)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.soak
def test_a_second_signal_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path / "state") as running:
        with grpc.insecure_channel(running.address) as channel:
            call = generate(channel, MANY)
            busy(running)
            running.process.send_signal(number)
            until(lambda: health(channel) == NOT_SERVING)
            running.process.send_signal(number)
            stopped_s = time.monotonic()
            assert running.process.wait(TIMEOUT_S) == -number
            ended_s = time.monotonic() - stopped_s
            call.cancel()
    told(f"second {number.name} while a call goes on: gone after, s", f"{ended_s:.2f}", 0.5)
    assert ended_s <= 0.5
