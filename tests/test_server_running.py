"""A server says what it offers, holds its folder and port, ends quickly and names what is wrong."""

import asyncio
import contextlib
import importlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import graftscope.server
from graftscope.bundle import BundleError
from graftscope.client import AsyncClient, Client
from graftscope.server import Settings, _running, embedded_server, logs, make_settings
from graftscope.server._server import running_server
from graftscope.server._services import SERVICES
from graftscope.server.errors import (
    AddressInUse,
    DeviceUnavailable,
    InvalidInput,
    NotFound,
)
from graftscope.server.settings import default_state
from graftscope.v1 import analysis_service_pb2
from request_toys import influence, pairs
from server_toys import TIMEOUT_S, Stubs, refused

STOP_LIMIT_S = 20.0
"""Below what calls in progress are given here."""
GRACE_S = 60.0


def raw(server: Stubs, method: str) -> Callable[[bytes], bytes]:
    """A method that is called with bytes."""
    channel: Any = server.channel  # Its stubs do not know calls without serializers.
    call: Callable[[bytes], bytes] = channel.unary_unary(f"/{method}")
    return call


def test_every_service_is_listed_by_reflection(toy_server: Stubs) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(toy_server.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (reply,) = stub.ServerReflectionInfo(iter([request]))
    names = {service.name for service in reply.list_services_response.service}
    assert names == {*SERVICES, "grpc.reflection.v1alpha.ServerReflection"}
    assert {
        "graftscope.v1.ModelService",
        "graftscope.v1.AnalysisService",
        "graftscope.v1.ArtifactService",
        "google.longrunning.Operations",
        "grpc.health.v1.Health",
        "inference.GRPCInferenceService",
    } == set(SERVICES)


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_every_service_is_healthy(toy_server: Stubs, service: str) -> None:
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    serving = health_pb2.HealthCheckResponse(status="SERVING").SerializeToString()
    assert raw(toy_server, "grpc.health.v1.Health/Check")(request) == serving
    channel: Any = toy_server.channel
    watching = channel.unary_stream("/grpc.health.v1.Health/Watch")(request)
    assert next(watching) == serving
    watching.cancel()


def test_the_health_of_a_service_that_is_not_there_is_not_found(toy_server: Stubs) -> None:
    request = health_pb2.HealthCheckRequest(service="nobody").SerializeToString()
    with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
        raw(toy_server, "grpc.health.v1.Health/Check")(request)


@pytest.mark.parametrize("good", [True, False])
def test_trailing_metadata_tell_the_servers_version(toy_server: Stubs, good: bool) -> None:
    request = operations_pb2.ListOperationsRequest(page_size=1 if good else -1)
    call = toy_server.operations.ListOperations.future(request)
    told = dict(call.trailing_metadata())
    assert told["graftscope-version"] == version("graftscope")
    assert (call.code() is grpc.StatusCode.OK) is good


def test_a_method_that_is_not_there_is_unimplemented(toy_server: Stubs) -> None:
    for method in ("graftscope.v1.ModelService/Paint", "nobody.Nothing/Do"):
        told = refused(partial(raw(toy_server, method), b""))
        assert told.code is grpc.StatusCode.UNIMPLEMENTED
    toy_server.goes_on()


def test_a_message_that_is_none_is_refused_and_the_server_goes_on(toy_server: Stubs) -> None:
    for method in ("ModelService/Generate", "AnalysisService/Influence"):
        told = refused(partial(raw(toy_server, f"graftscope.v1.{method}"), b"\xff no message"))
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
        assert "the request cannot be read" in told.message
    toy_server.goes_on()


def test_a_message_that_is_too_large_is_refused_and_the_server_goes_on(toy_server: Stubs) -> None:
    call = raw(toy_server, "graftscope.v1.ModelService/Generate")
    told = refused(partial(call, bytes(4 * 2**20 + 1)))
    assert told.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    toy_server.goes_on()


def settings(bundle: Path, state: Path, **changes: object) -> Settings:
    given = {"bundles": (bundle,), "listen": "127.0.0.1:0", "state": state, **changes}
    return make_settings(**given)


async def start(chosen: Settings) -> str:
    async with running_server(chosen) as address:
        return address


async def test_a_port_in_use_is_an_error(toy_vae_bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressInUse, match=rf"cannot listen on '{address}'.*--listen"):
            await start(settings(toy_vae_bundle, tmp_path, listen=address))
    # The folder is free again.
    assert (await start(settings(toy_vae_bundle, tmp_path, listen=address))) == address


@pytest.mark.parametrize("listen", ["", "here", "127.0.0.1:port", "127.0.0.1:99999"])
async def test_an_address_that_is_none_is_an_error(
    toy_vae_bundle: Path, tmp_path: Path, listen: str
) -> None:
    with pytest.raises(InvalidInput, match="is malformed; HOST:PORT") as caught:
        await start(settings(toy_vae_bundle, tmp_path, listen=listen))
    assert caught.value.field == "listen"


async def test_a_port_alone_is_loopbacks(toy_vae_bundle: Path, tmp_path: Path) -> None:
    for listen in ("0", ":0"):
        address = await start(settings(toy_vae_bundle, tmp_path, listen=listen))
        assert address.startswith("127.0.0.1:")


async def test_a_unix_socket_serves_one_server_at_a_time(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "graftscope.sock"
    here = settings(toy_vae_bundle, tmp_path / "state", listen=f"unix:{path}")
    # What a server left that was killed.
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with running_server(here) as address:
        assert address == f"unix:{path}"
        async with AsyncClient(address) as client:
            assert [model.name for model in await client.models()] == ["toy-vae"]
            other = settings(toy_vae_bundle, tmp_path / "other", listen=f"unix://{path}")
            with pytest.raises(AddressInUse, match="a server listens there already"):
                await start(other)
            assert await client.models()
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("x" * 120, "1 to 107 bytes"), ("missing/x", "its folder is missing"), ("file", "no socket")],
)
async def test_a_path_that_no_socket_can_have_is_an_error(
    toy_vae_bundle: Path, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InvalidInput, match=message):
        await start(settings(toy_vae_bundle, tmp_path, listen=f"unix:{tmp_path / name}"))
    assert (tmp_path / "file").read_text() == "kept"


async def test_a_host_that_is_another_machines_is_an_error(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    # An address for documentation, which no machine has.
    where = {"listen": "192.0.2.1:0", "insecure": True, "auth": "none"}
    with pytest.raises(AddressInUse, match="cannot listen on"):
        await start(settings(toy_vae_bundle, tmp_path, **where))


def test_a_temporary_folder_stands_in_for_the_users_own(
    toy_vae_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with embedded_server([toy_vae_bundle]) as first, embedded_server([toy_vae_bundle]) as second:
        assert first != second
        assert (default_state() / "jobs.db").is_file()
        with grpc.insecure_channel(second) as channel:
            Stubs(second, channel, tmp_path).goes_on()
    assert default_state().parent == tmp_path


def test_a_damaged_bundle_is_named(toy_vae_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(toy_vae_bundle, tmp_path / "copy")
    victim = copy / "generator.onnx"
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"generator\.onnx"):
        asyncio.run(start(settings(copy, tmp_path / "state")))


def test_a_damaged_bundle_does_not_keep_others_from_being_served(
    toy_vae_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "bundles"
    shutil.copytree(toy_vae_bundle, folder / "good")
    victim = shutil.copytree(toy_vae_bundle, folder / "bad") / "generator.onnx"
    victim.write_bytes(victim.read_bytes()[:-1])
    with embedded_server([folder], state=tmp_path / "state") as address, Client(address) as client:
        assert [model.name for model in client.models()] == ["toy-vae"]
    told = [record.getMessage() for record in caplog.records]
    assert any("bundle left out" in line and "generator.onnx" in line for line in told)
    shutil.rmtree(folder / "good")
    with pytest.raises(BundleError, match=r"generator\.onnx"):
        asyncio.run(start(settings(folder, tmp_path / "state")))


def test_missing_bundles_are_named(toy_vae_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere' does not exist"):
        asyncio.run(start(settings(tmp_path / "nowhere", tmp_path / "state")))
    with pytest.raises(NotFound, match="holds no bundle"):
        asyncio.run(start(settings(tmp_path, tmp_path / "state")))
    assert not (tmp_path / "state").exists()
    twice = settings(toy_vae_bundle, tmp_path / "state", bundles=(toy_vae_bundle,) * 2)
    with pytest.raises(InvalidInput, match="two bundles are named 'toy-vae'"):
        asyncio.run(start(twice))


def test_errors_at_the_start_reach_whoever_embeds_the_server(tmp_path: Path) -> None:
    with (
        pytest.raises(NotFound, match="does not exist"),
        embedded_server([tmp_path / "nowhere"], state=tmp_path / "state"),
    ):
        pass


@pytest.mark.parametrize("workers", [0, -1, 257])
def test_a_number_of_workers_that_is_not_allowed_is_refused(tmp_path: Path, workers: int) -> None:
    with (
        pytest.raises(ValueError, match="workers"),
        embedded_server([], workers=workers, state=tmp_path),
    ):
        pass


def test_a_missing_device_is_an_error(toy_vae_bundle: Path, tmp_path: Path) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(DeviceUnavailable, match="'cuda' cannot be used"):
        asyncio.run(start(settings(toy_vae_bundle, tmp_path, device="cuda")))


def test_a_server_ends_quickly_while_it_is_watched(
    toy_vae_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_running, "EMBEDDED_GRACE_S", GRACE_S)
    with contextlib.ExitStack() as running:
        address = running.enter_context(embedded_server([toy_vae_bundle], state=tmp_path))
        channel = grpc.insecure_channel(address)
        server = Stubs(address, channel, tmp_path)
        endless = server.analyses.Influence(influence(pairs=pairs(count=1_000_000)))
        queued = server.analyses.Influence(influence(pairs=pairs(count=1_000_001)))
        streams = [
            server.analyses.WatchOperation(
                analysis_service_pb2.WatchOperationRequest(name=operation.name)
            )
            for operation in (endless, queued)
        ]
        assert all(next(stream).HasField("operation") for stream in streams)
        waiting = server.operations.WaitOperation.future(
            operations_pb2.WaitOperationRequest(name=endless.name)
        )
        started = time.monotonic()
    assert time.monotonic() - started < STOP_LIMIT_S
    for stream in streams:
        told = refused(partial(list, stream))
        assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
        assert "goes on at its next start" in told.message
    assert waiting.code() is grpc.StatusCode.UNAVAILABLE
    channel.close()


SERVE = """
import sys
from pathlib import Path
from graftscope.server import make_settings, serve

bundle, state = map(Path, sys.argv[1:])
settings = make_settings(bundles=(bundle,), listen="127.0.0.1:0", state=state)
serve(settings, lambda address: print(address, flush=True))
"""


def test_serving_ends_at_a_signal_and_a_job_goes_on_at_the_next_start(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    names = set()
    for number in (signal.SIGINT, signal.SIGTERM):
        command = [sys.executable, "-c", SERVE, str(toy_vae_bundle), str(tmp_path)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            with grpc.insecure_channel(address) as channel:
                stubs = Stubs(address, channel, tmp_path)
                request = influence(pairs=pairs(count=1_000_000))
                operation = stubs.analyses.Influence(request, timeout=TIMEOUT_S)
            os.kill(process.pid, number)
            _, told = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, told
        assert "models='toy-vae'" in told
        assert "Traceback" not in told
        assert not operation.done
        names.add(operation.name)
    assert len(names) == 1


def test_an_embedded_server_leaves_logging_to_its_caller(
    server_logger: logging.Logger,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    server_logger.handlers = []
    server_logger.propagate = True
    importlib.reload(logs)
    logs.get_logger("test").error("an event", field=1)
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("server_logger")
def test_the_log_is_a_line_an_event_from_a_level_up(capsys: pytest.CaptureFixture[str]) -> None:
    logs.log_to_stderr("warning")
    logs.get_logger("test").info("too low")
    logs.get_logger("test").warning("an event", model="toy", count=3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("WARNING event='an event' model='toy' count=3")


def test_the_packages_example_is_its_public_face() -> None:
    assert graftscope.server.__all__ == [
        "Device",
        "Settings",
        "embedded_server",
        "make_settings",
        "serve",
    ]
    assert "with embedded_server(" in (graftscope.server.__doc__ or "")


def test_debugging_tells_calls_sessions_runs_and_jobs_and_no_password(
    toy_vae_bundle: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG, logger="graftscope.server")
    monkeypatch.setenv("GRAFTSCOPE_JOBS_URL", f"sqlite:///{tmp_path / 'secret.db'}")
    with Client(bundles=[toy_vae_bundle], state=tmp_path / "state", workers=1) as client:
        client.generate("toy-vae", count=3)
        client.influence("toy-vae", "coarse", [0], pairs=32)
        with pytest.raises(ValueError, match="nowhere"):
            client.influence("toy-vae", "nowhere", pairs=32)
    told = [record.getMessage() for record in caplog.records]
    for event, *facts in (
        ("settings", "workers=1"),
        ("call", "ModelService/Generate", "status='OK'", "seconds=", "peer='ipv4:127.0.0.1"),
        ("call", "AnalysisService/Influence", "status='INVALID_ARGUMENT'", "'nowhere'"),
        ("session opened", "generator.onnx", "CPUExecutionProvider"),
        ("run", "tasks=1 samples=3"),
        ("job created", "analysis='influence'", "layer='fc' pairs=32"),
        ("job started", "analysis='influence'", "model=", "layer='fc' pairs=32"),
        ("job done", "layer='fc' pairs=32 shards_done=1", "seconds=", "device='cpu'"),
    ):
        found = [line for line in told if line.startswith(f"event='{event}'")]
        assert any(all(fact in line for fact in facts) for line in found), (event, found)
    assert not any("secret" in line for line in told)


def test_a_server_inside_a_program_has_no_such_port(
    toy_vae_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFTSCOPE_HEALTH", "malformed")
    with embedded_server([toy_vae_bundle], state=tmp_path):
        pass
