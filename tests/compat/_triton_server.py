"""A real Triton server on loopback, from the wheel of `nvidia-pytriton`.

It has Triton's own ensembles, but no backend for ONNX, for which a small one in Python stands in:
it opens the repository as it is.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from compat._environments import Environment, environment

_STARTS_WITHIN_S = 240.0
_ENDS_WITHIN_S = 60.0
_OF_ITS_CLIENT = ("python-rapidjson", "urllib3", "ml-dtypes", "packaging")
_STARTED = "Started GRPCInferenceService"
_HERE = Path(__file__).parent


def triton_environment() -> Environment:
    """Triton, ONNX Runtime and Triton's client, in versions that go together."""
    if sys.platform != "linux" or sysconfig.get_platform() != "linux-x86_64":
        pytest.skip("the wheel with a Triton server is for Linux on x86-64 alone")
    return environment(
        # Its client asks for a protobuf that is older than ours, and works with a newer one.
        ("--no-deps", "nvidia-pytriton==0.7.0", "tritonclient==2.73.0"),
        ("numpy<2", "onnxruntime>=1.23", "protobuf>=6", "grpcio>=1.76", *_OF_ITS_CLIENT),
    )


@contextmanager
def triton_server(home: Environment, repository: Path, folder: Path) -> Iterator[str]:
    """Serve a repository; gives the server's address.

    Args:
        home: where Triton is installed.
        repository: the models.
        folder: an empty one for the backends and the log.
    """
    triton = home.packages / "pytriton" / "tritonserver"
    backends = _backends(triton, folder / "backends")
    port = _free_port()
    command = [
        str(triton / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={port}",
        "--allow-http=false",
        "--allow-metrics=false",
        # Without a GPU it would end.
        "--exit-on-error=false",
        "--disable-auto-complete-config",
        # On a busy machine, backends in Python that start side by side may wait for each other.
        "--model-load-thread-count=1",
    ]
    libraries = f"{home.packages / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}"
    variables = os.environ | {"LD_LIBRARY_PATH": libraries, "TRITON_PACKAGES": str(home.packages)}
    server = subprocess.Popen(
        command,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=folder,
    )
    log: list[str] = []
    started = threading.Event()
    reader = threading.Thread(target=_read, args=(server, log, started))
    reader.start()
    try:
        if not started.wait(_STARTS_WITHIN_S) or server.poll() is not None:
            pytest.fail(f"Triton did not start: {''.join(log[-40:])}")
        yield f"127.0.0.1:{port}"
    finally:
        _end(server)
        reader.join()
        (folder / "triton.log").write_text("".join(log))


def _end(server: "subprocess.Popen[str]") -> None:
    """End the server, and then what ran its backends, which would keep its standard error open."""
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(_ENDS_WITHIN_S)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _backends(triton: Path, folder: Path) -> Path:
    """Triton's backend for Python, and ours for ONNX that runs in it."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        pytest.skip(f"the wheel with a Triton server has no backend for Python {version}")
    shutil.copytree(triton / "backends" / "python", folder / "python")
    shutil.copy(stub, folder / "python")
    (folder / "onnxruntime").mkdir()
    shutil.copy(_HERE / "triton_backend.py", folder / "onnxruntime" / "model.py")
    return folder


def _read(server: "subprocess.Popen[str]", log: list[str], started: threading.Event) -> None:
    """Read what the server says to its end, so that it never waits for a reader."""
    assert server.stderr is not None
    with server.stderr:
        for line in server.stderr:
            log.append(line)
            if _STARTED in line:
                started.set()
    started.set()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
