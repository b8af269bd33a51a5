"""Requests of too many parts, malformed ones and streams that stand still, on a real server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from graftscope.server.errors import InvalidInput, Overloaded
from graftscope.server.jobs import JobStore
from graftscope.server.jobs._room import JobRoom
from graftscope.server.rpc import _requests
from graftscope.server.rpc._reading import MAX_NUMBERS, MAX_PARTS, check_parts
from graftscope.server.rpc._requests import MAX_INTERVENTIONS
from graftscope.v1 import analysis_service_pb2, artifact_service_pb2, tensor_pb2
from request_toys import influence
from server_toys import Stubs, refusal_of, refused, served

_V1 = "/graftscope.v1."

_MALFORMED = {
    "cut short": b"\x0a\x7f",
    "no UTF-8": b"\x0a\x02\xff\xfe",
    "no field": b"\x07",
}


@pytest.fixture(scope="module")
def stubs(toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    with served([toy_vae_bundle], tmp_path_factory.mktemp("state")) as stubs:
        yield stubs


def _empty_interventions(count: int) -> bytes:
    """As many interventions as that, each of two bytes."""
    inner = b"\x0a\x00" * count
    head = analysis_service_pb2.InfluenceRequest(model="models/toy-vae").SerializeToString()
    return head + b"\x2a" + _varint(len(inner)) + inner


def _varint(number: int) -> bytes:
    data = b""
    while number > 0x7F:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])


def _nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = b"\x0a" + _varint(len(data)) + data
    return data


def _raw(stubs: Stubs, path: str) -> Callable[[bytes], object]:
    call: Any = stubs.channel.unary_unary(path)
    return lambda data: call(data, timeout=30)


def test_millions_of_empty_parts_are_refused_while_others_are_answered(stubs: Stubs) -> None:
    data = _empty_interventions(1_900_000)
    method: Any = stubs.channel.unary_unary(f"{_V1}AnalysisService/Influence")
    call = method.future(data, timeout=30)
    while not call.done():
        stubs.goes_on()
    with pytest.raises(grpc.RpcError) as caught:
        call.result()
    found = refusal_of(caught.value)
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
    assert str(MAX_PARTS) in found.message


def test_parts_are_counted_at_every_depth() -> None:
    kind = analysis_service_pb2.InfluenceRequest.DESCRIPTOR
    check_parts(_empty_interventions(MAX_PARTS - 10), kind)
    with pytest.raises(InvalidInput, match="more than 50000 parts"):
        check_parts(_empty_interventions(MAX_PARTS), kind)


def test_long_lists_of_numbers_are_refused() -> None:
    kind = tensor_pb2.Tensor.DESCRIPTOR
    check_parts(tensor_pb2.Tensor(shape=[300] * MAX_NUMBERS).SerializeToString(), kind)
    with pytest.raises(InvalidInput, match=f"shape holds {MAX_NUMBERS + 1} numbers"):
        check_parts(tensor_pb2.Tensor(shape=[300] * (MAX_NUMBERS + 1)).SerializeToString(), kind)


@pytest.mark.parametrize("data", _MALFORMED.values(), ids=_MALFORMED)
@pytest.mark.parametrize(
    "path",
    [
        f"{_V1}ModelService/Hybridize",
        f"{_V1}AnalysisService/Influence",
        "/google.longrunning.Operations/GetOperation",
        "/grpc.health.v1.Health/Check",
    ],
)
def test_a_malformed_request_is_refused_by_every_service(
    stubs: Stubs, path: str, data: bytes
) -> None:
    found = refused(lambda: _raw(stubs, path)(data))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")


@pytest.mark.parametrize("data", _MALFORMED.values(), ids=_MALFORMED)
@pytest.mark.parametrize(
    ("path", "good"),
    [
        (
            f"{_V1}ArtifactService/PutArtifact",
            artifact_service_pb2.PutArtifactRequest(
                artifact=tensor_pb2.Artifact(sha256="0" * 64, datatype="UINT8", shape=[9])
            ),
        ),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", None),
    ],
)
def test_a_malformed_message_in_a_stream_is_refused(
    stubs: Stubs, path: str, good: Message | None, data: bytes
) -> None:
    before = [good.SerializeToString()] if good else []
    call: Any = stubs.channel.stream_stream(path)
    found = refused(lambda: list(call(iter([*before, data]), timeout=30)))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")


def test_messages_within_messages_have_an_end(stubs: Stubs) -> None:
    path = f"{_V1}AnalysisService/Influence"
    found = refused(lambda: _raw(stubs, path)(_nested(150)))
    assert found.code is grpc.StatusCode.INVALID_ARGUMENT


def test_health_and_operations_are_read_as_before(stubs: Stubs) -> None:
    check = stubs.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    assert check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
    found = refused(
        lambda: stubs.operations.GetOperation(
            operations_pb2.GetOperationRequest(name="operations/0")
        )
    )
    assert found.code is grpc.StatusCode.NOT_FOUND


def test_interventions_of_one_request_have_a_stated_limit(stubs: Stubs) -> None:
    data = _empty_interventions(MAX_INTERVENTIONS + 1)
    found = refused(lambda: _raw(stubs, f"{_V1}AnalysisService/Influence")(data))
    assert found.field == "each_intervention"
    assert f"{MAX_INTERVENTIONS + 1} interventions; at most {MAX_INTERVENTIONS}" in found.message


def test_a_result_has_a_stated_limit(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_requests, "MAX_RESULT_BYTES", 2**10)
    found = refused(lambda: stubs.analyses.Influence(influence()))
    assert (found.code, found.field) == (grpc.StatusCode.INVALID_ARGUMENT, "map_size")
    assert "the result would take" in found.message


def test_jobs_that_run_or_wait_have_a_limit_and_a_time_to_ask_again(tmp_path: Path) -> None:
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.db'}")
    with closing(store):
        room = JobRoom(store, limit=4)

        async def take(*owners: str) -> None:
            async with AsyncExitStack() as stack:
                for owner in owners:
                    await stack.enter_async_context(room.for_one(owner))

        asyncio.run(take("", "", "", ""))
        asyncio.run(take("a", "a", "b", "b"))
        for owners, told in [
            (("",) * 5, "4 jobs run or wait; 4 is the most"),
            (("a",) * 4, "3 of your jobs run or wait; at most 3 of 4"),
            (("b", "a", "a", "a"), "2 of your jobs run or wait; at most 2 of 4"),
        ]:
            with pytest.raises(Overloaded, match=told) as caught:
                asyncio.run(take(*owners))
            assert caught.value.retry_after_s == 1
