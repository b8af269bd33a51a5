"""The port for probes: it follows the server's health, and offers nothing else."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health

from graftscope.server.errors import AddressInUse
from graftscope.server.health import health_port
from graftscope.v1 import model_service_pb2, model_service_pb2_grpc


@pytest.fixture
async def servicer() -> health.aio.HealthServicer:
    return health.aio.HealthServicer()


@pytest.fixture
async def port(servicer: health.aio.HealthServicer) -> AsyncIterator[str]:
    async with health_port("127.0.0.1:0", servicer) as address:
        assert address is not None
        yield address


async def ask(*arguments: str, **variables: str) -> tuple[int, str]:
    """What the command answers, as a probe starts it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "graftscope.server.health", *arguments),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode().strip()


async def test_the_command_is_content_only_while_the_server_serves(
    servicer: health.aio.HealthServicer, port: str
) -> None:
    assert await ask(port) == (0, "SERVING")
    await servicer.enter_graceful_shutdown()
    # An address of all hosts is one of this machine too.
    everywhere = f"0.0.0.0:{port.rpartition(':')[2]}"
    assert await ask(GRAFTSCOPE_HEALTH=everywhere) == (1, "NOT_SERVING")


async def test_the_port_answers_nothing_but_health(port: str) -> None:
    async with grpc.aio.insecure_channel(port) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await model_service_pb2_grpc.ModelServiceStub(channel).ListModels(
                model_service_pb2.ListModelsRequest()
            )
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_port_that_is_taken_is_refused(
    servicer: health.aio.HealthServicer, port: str
) -> None:
    with pytest.raises(AddressInUse, match=port):
        async with health_port(port, servicer):
            pass
