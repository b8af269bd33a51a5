"""Start-up: importing the client, the command's help, a server until it says SERVING.

Every measurement is a fresh process. The server has the bundles that ship.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks import markdown
from benchmarks.figures import Spread
from benchmarks.machine import Machine
from benchmarks.options import Options

_TIMES = 5
_PATIENCE_S = 60.0
_COMMAND = str(Path(sys.executable).parent / "graftscope")

TARGETS_S = {"import graftscope.client": 0.3, "graftscope --help": 0.5, "graftscope serve": 2.0}


def measure(options: Options, _: Machine) -> dict[str, object]:
    """Seconds of each, in turns after one of each that is not counted."""
    work: dict[str, Callable[[], float]] = {
        "import graftscope.client": lambda: _run(sys.executable, "-c", "import graftscope.client"),
        "graftscope --help": lambda: _run(_COMMAND, "--help"),
        "graftscope serve": _serve,
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(2 if options.quick else 1 + _TIMES):
        for name, step in work.items():
            took = step()
            # The first of each also fetches files from disk.
            seconds[name] += [took] if turn else []
    return {name: asdict(Spread.of(values)) for name, values in seconds.items()}


def table(result: Mapping[str, object]) -> str:
    """Beside what each may take."""
    rows = []
    for name, found in result.items():
        assert isinstance(found, dict)
        rows.append([name, markdown.ratio(Spread(**found)), f"{TARGETS_S[name]:.1f}"])
    return markdown.table(["start", "seconds", "may take"], rows)


def _run(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _serve() -> float:
    """Seconds until a server answers that it serves."""
    with TemporaryDirectory() as state:
        command = [_COMMAND, "serve", "--json", "--listen", "127.0.0.1:0", "--state", state]
        command += ["--log-level", "error"]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            try:
                assert server.stdout is not None
                _check_health(json.loads(server.stdout.readline())["address"])
                return time.perf_counter() - started
            finally:
                server.terminate()


def _check_health(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest()
        stub = health_pb2_grpc.HealthStub(channel)
        reply = stub.Check(request, timeout=_PATIENCE_S, wait_for_ready=True)  # type: ignore[attr-defined]
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
