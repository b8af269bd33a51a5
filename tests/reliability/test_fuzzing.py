"""Any request at all is answered or refused with a reason: never a bug, never a crash."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

from graftscope.server.access import METHODS, Work
from graftscope.v1 import analysis_service_pb2, artifact_service_pb2, model_service_pb2
from reliability._messages import Maker
from reliability._processes import MIB, Running, server, told

SHORT_S = 2.0
LONG_S = 60.0
CALL_S = 5.0
WATCH_S = 0.05

_FILES = (
    model_service_pb2.DESCRIPTOR,
    analysis_service_pb2.DESCRIPTOR,
    artifact_service_pb2.DESCRIPTOR,
    operations_pb2.DESCRIPTOR,
    health_pb2.DESCRIPTOR,
    reflection_pb2.DESCRIPTOR,
)
_TEXTS = ("models/toy-vae", "toy-vae", "z", "deconv2", "coarse", "operations/{job}", "{sha256}", "")
# What is the library's own, or the caller's: these come without a reason of the server.
_OF_CALLERS = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_BUGS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


@dataclass
class Calls:
    """What came of the calls so far.

    Attributes:
        channel: to the server.
        statuses: how often each status.
        wrong: calls that were answered as none may be, each with its bytes.
    """

    channel: grpc.Channel
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def make(self, method: MethodDescriptor, sent: list[bytes]) -> None:
        """Calls a method with these requests, as they are."""
        path = _path(method)
        try:
            self._answered(path, method, sent)
            self.statuses["OK"] += 1
        except grpc.RpcError as error:
            call: Any = error
            self.statuses[call.code().name] += 1
            if call.code() in _BUGS or not _is_explained(path, call):
                self.wrong.append(f"{path} {sent!r}: {call.code().name} {call.details()}")

    def _answered(self, path: str, method: MethodDescriptor, sent: list[bytes]) -> None:
        channel: Any = self.channel
        within_s = WATCH_S if METHODS[path].work is Work.WATCH else CALL_S
        match method.client_streaming, method.server_streaming:
            case False, False:
                channel.unary_unary(path)(sent[0], timeout=within_s)
            case False, True:
                for _ in channel.unary_stream(path)(sent[0], timeout=within_s):
                    pass
            case True, False:
                channel.stream_unary(path)(iter(sent), timeout=within_s)
            case _:
                for _ in channel.stream_stream(path)(iter(sent), timeout=within_s):
                    pass


def _is_explained(path: str, call: Any) -> bool:
    """Whether a refusal tells a reason; those of callers need none."""
    if call.code() in _OF_CALLERS:
        return True
    if path.endswith("Health/Check") and call.code() is grpc.StatusCode.NOT_FOUND:
        return True  # As the protocol of health checks has it.
    status = rpc_status.from_call(call)
    info = error_details_pb2.ErrorInfo()
    return status is not None and any(detail.Unpack(info) for detail in status.details)


def _methods() -> list[MethodDescriptor]:
    """All that there are, each of which has its line in the table of methods."""
    services = [each for file in _FILES for each in file.services_by_name.values()]
    methods = [cast(MethodDescriptor, method) for each in services for method in each.methods]
    return [method for method in methods if _path(method) in METHODS]


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


@pytest.fixture
def running(toy_vae_bundle: Path, tmp_path: Path) -> Iterator[Running]:
    with server([toy_vae_bundle], tmp_path / "state") as running:
        yield running


def _fuzzed(running: Running, seconds: float, first: int) -> None:
    ends_s = time.monotonic() + seconds
    before = running.resident_bytes
    with grpc.insecure_channel(running.address) as channel:
        calls, number, methods = Calls(channel), first, _methods()
        while time.monotonic() < ends_s:
            maker = Maker(random.Random(number), _TEXTS)
            method = maker.chance.choice(methods)
            count = maker.chance.randint(1, 3) if method.client_streaming else 1
            calls.make(method, [maker.request(method.input_type) for _ in range(count)])
            number += 1
    told("made-up requests by number", f"{first} to {number - 1}", "none")
    told("their statuses", dict(calls.statuses.most_common()), "none")
    told("UNKNOWN, INTERNAL, or without a reason", len(calls.wrong), 0)
    told("the server grew by, MiB", (running.resident_bytes - before) // MIB, "none")
    assert running.process.poll() is None
    assert not calls.wrong, "\n".join(calls.wrong[:5])
    log = running.log.read_text()
    assert "unexpected error" not in log, log[-3000:]
    assert "Traceback" not in log, log[-3000:]


def test_made_up_requests_are_answered_or_refused_with_a_reason(running: Running) -> None:
    _fuzzed(running, SHORT_S, first=0)


@pytest.mark.soak
def test_made_up_requests_for_a_minute(running: Running) -> None:
    _fuzzed(running, LONG_S, first=random.randrange(10**6))
