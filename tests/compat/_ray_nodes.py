"""A cluster of Ray on this machine, one process group a node, for tests that end nodes."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from compat._environments import environment

RAY = ("--no-deps", "ray==2.60.0", "msgpack==1.2.4")
START_S = 120.0
_LOOK_S = 0.1
_STORE_BYTES = 200_000_000
_FOUND_SOON = {
    f"RAY_health_check_{name}": value
    for name, value in {
        "initial_delay_ms": "1000",
        "period_ms": "1000",
        "timeout_ms": "1000",
        "failure_threshold": "2",
    }.items()
}


def with_ray() -> dict[str, str]:
    """An environment in which Ray can be imported, beside all that can be here, with a token."""
    kept = environment(RAY)
    return {
        **os.environ,
        **_FOUND_SOON,
        "PYTHONPATH": os.pathsep.join([*sys.path, str(kept.packages)]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


@dataclass(eq=False)
class RayNode:
    """One `ray start`, with all that it started."""

    process: "subprocess.Popen[bytes]"

    @property
    def actors(self) -> list[psutil.Process]:
        """Its workers that compute."""
        return [each for each in self._all if "Node" in _title(each)]

    def kill(self) -> None:
        """Ends all of it, as a machine that loses power."""
        below = self._all
        self.process.kill()
        self.process.wait()
        for each in below:
            with suppress(psutil.NoSuchProcess):
                each.kill()

    @property
    def _all(self) -> list[psutil.Process]:
        try:
            return list(psutil.Process(self.process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []


@dataclass(eq=False)
class RayCluster:
    """A head without cores, and nodes with some.

    Attributes:
        address: of the head.
        environment: of its processes, and of whoever joins.
    """

    address: str
    environment: Mapping[str, str]
    folder: Path
    nodes: list[RayNode] = field(default_factory=list)

    def start(self, *options: str) -> RayNode:
        """Starts a node, which has joined then."""
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        store = f"--object-store-memory={_STORE_BYTES}"
        log = self.folder / f"node{len(self.nodes)}.log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                [*command, store, "--disable-usage-stats", *options],
                stdout=said,
                stderr=said,
                env=self.environment,
                cwd=self.folder,
            )
        node = RayNode(process)
        self.nodes.append(node)
        _until(lambda: "Ray runtime started" in log.read_text(), self.folder)
        return node

    def node(self, cores: int = 1) -> RayNode:
        """Starts a node that computes."""
        return self.start(f"--address={self.address}", f"--num-cpus={cores}")


@contextmanager
def ray_cluster(folder: Path) -> Iterator[RayCluster]:
    """A head, ended with all its nodes."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = RayCluster(f"127.0.0.1:{port}", with_ray(), folder)
    try:
        made.start("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")
        yield made
    finally:
        for node in reversed(made.nodes):
            node.kill()


def _until(holds: Callable[[], bool], folder: Path) -> None:
    """Waits until something holds; shows what nodes said where it does not."""
    end = time.monotonic() + START_S
    while not holds():
        said = "\n".join(x.read_text()[-1000:] for x in sorted(folder.glob("*.log")))
        assert time.monotonic() < end, said
        time.sleep(_LOOK_S)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
