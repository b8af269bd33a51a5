"""Every call is told of once, with the status that its caller saw."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from graftscope.server.access import Gate
from graftscope.server.rpc import Admission, Call, Calls, Drain, Guard, Limits, Reading

TIMEOUT_S = 60.0

_WATCH = "/grpc.health.v1.Health/Watch"
_CHECK = "/grpc.health.v1.Health/Check"


class _Health(health.aio.HealthServicer):
    """Answers `slow` never, and fails unforeseen at `broken`."""

    def __init__(self, arrived: asyncio.Event) -> None:
        super().__init__()
        self._arrived = arrived

    async def Check(
        self,
        request: health_pb2.HealthCheckRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> health_pb2.HealthCheckResponse:
        if request.service == "slow":
            self._arrived.set()
            await asyncio.Event().wait()
        if request.service == "broken":
            raise ZeroDivisionError
        return await super().Check(request, context)


class _Told:
    """What was told of calls, and when `slow` was last asked for."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.arrived, self._changed = asyncio.Event(), asyncio.Event()

    def hear(self, call: Call) -> None:
        self.calls.append(call)
        self._changed.set()

    async def until(self, count: int) -> list[Call]:
        """All calls, once there are so many."""
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.calls) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.calls


@asynccontextmanager
async def _served(told: _Told) -> AsyncIterator[grpc.aio.Channel]:
    with closing(Reading(60.0)) as reading:
        guard = Guard(Gate(), Admission(Limits(8, 1, 8)), reading, Drain(), Calls([told.hear]))
        server = grpc.aio.server(interceptors=[guard])
        health_pb2_grpc.add_HealthServicer_to_server(_Health(told.arrived), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await channel.channel_ready()
            yield channel
        await server.stop(5.0)


async def _asked(channel: grpc.aio.Channel, service: str, timeout_s: float | None = None) -> str:
    """The status that a check is answered with."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
        return "OK"
    except grpc.aio.AioRpcError as error:
        return error.code().name


@pytest.mark.parametrize(
    ("service", "status", "reason"),
    [("", "OK", ""), ("nothing", "NOT_FOUND", ""), ("broken", "INTERNAL", "INTERNAL")],
)
async def test_a_call_is_told_of_with_its_status(service: str, status: str, reason: str) -> None:
    told = _Told()
    async with _served(told) as channel:
        assert await _asked(channel, service) == status
        (call,) = await told.until(1)
    assert (call.method, call.status, call.reason) == (_CHECK, status, reason)
    assert call.seconds > 0
    assert call.peer.startswith("ipv4:127.0.0.1:")
    assert call.principal is not None


async def test_a_deadline_that_has_passed_is_told_from_a_caller_who_has_left() -> None:
    told = _Told()
    async with _served(told) as channel:
        assert await _asked(channel, "slow", timeout_s=1.0) == "DEADLINE_EXCEEDED"
        await told.until(1)
        told.arrived.clear()
        leaving = asyncio.ensure_future(_asked(channel, "slow", timeout_s=TIMEOUT_S))
        await told.arrived.wait()
        leaving.cancel()
        calls = await told.until(2)
    assert [call.status for call in calls] == ["DEADLINE_EXCEEDED", "CANCELLED"]


async def test_a_stream_is_told_of_when_it_is_over() -> None:
    told = _Told()
    async with _served(told) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        assert not told.calls
        watch.cancel()
        calls = await told.until(1)
    assert [(call.method, call.status) for call in calls] == [(_WATCH, "CANCELLED")]


async def test_a_method_that_is_not_there_is_told_of_too() -> None:
    told = _Told()
    async with _served(told) as channel:
        nobody: Any = channel.unary_unary("/nobody.Knows/It")
        with pytest.raises(grpc.aio.AioRpcError):
            await nobody(b"")
        (call,) = await told.until(1)
    assert (call.method, call.status, call.principal) == ("/nobody.Knows/It", "UNIMPLEMENTED", None)
