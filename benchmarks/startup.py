"""Start-up: importing the client, the command's help, a server until it says SERVING, the demo.

Every measurement is a fresh process. The server has the bundles that ship; the demo finds nothing
of an earlier one.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks import markdown
from benchmarks.figures import Spread
from benchmarks.machine import Machine
from benchmarks.options import Options

_TIMES = 10
_DEMOS = 2
_PATIENCE_S = 60.0
_COMMAND = str(Path(sys.executable).parent / "graftscope")

TARGETS_S = {
    "import graftscope.client": 0.3,
    "graftscope --help": 0.5,
    "graftscope serve": 2.0,
    "graftscope serve, of all cores": 2.0,
    "graftscope demo": 25.0,
    "graftscope demo, of all cores": 50.0,
}


def measure(options: Options, _: Machine) -> dict[str, object]:
    """Seconds of each, in turns after one of each that is not counted; the demo is, as it is long.

    Of the server and the demo also processor seconds, which tell more where others compute too.
    """
    work: dict[str, Callable[[], float]] = {
        "import graftscope.client": lambda: _run(sys.executable, "-c", "import graftscope.client"),
        "graftscope --help": lambda: _run(_COMMAND, "--help"),
    }
    names = [*work, "graftscope serve", "graftscope serve, of all cores"]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(2 if options.quick else 1 + _TIMES):
        # The first of each also fetches files from disk.
        for name, took in zip(names, [*(step() for step in work.values()), *_serve()], strict=True):
            seconds[name] += [took] if turn else []
    for _turn in range(1 if options.quick else _DEMOS):
        before = _processor_s()
        seconds.setdefault("graftscope demo", []).append(_demo())
        seconds.setdefault("graftscope demo, of all cores", []).append(_processor_s() - before)
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


def _demo() -> float:
    with TemporaryDirectory() as folder:
        command = [_COMMAND, "--quiet", "demo", "--out", f"{folder}/report"]
        started = time.perf_counter()
        home = {**os.environ, "XDG_STATE_HOME": f"{folder}/state"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=home)
        return time.perf_counter() - started


def _processor_s() -> float:
    """Of all processes that this one has waited for, and those that they have."""
    told = os.times()
    return told.children_user + told.children_system


def _serve() -> tuple[float, float]:
    """Seconds until a server answers that it serves, and of the processor until then."""
    with TemporaryDirectory() as state:
        command = [_COMMAND, "serve", "--json", "--listen", "127.0.0.1:0", "--state", state]
        command += ["--log-level", "error"]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            try:
                assert server.stdout is not None
                _check_health(json.loads(server.stdout.readline())["address"])
                took = time.perf_counter() - started
                spent = psutil.Process(server.pid).cpu_times()
                return took, spent.user + spent.system
            finally:
                server.terminate()


def _check_health(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest()
        stub = health_pb2_grpc.HealthStub(channel)
        reply = stub.Check(request, timeout=_PATIENCE_S, wait_for_ready=True)  # type: ignore[attr-defined]
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
