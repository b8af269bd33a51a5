"""The image for CPUs, made by hand: its size, and a server in it that may write to two places."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from compat._dockerfile import Build, Stage, inside, run, size_bytes, words
from compat._environments import ROOT
from graftscope.client import Client

pytestmark = [pytest.mark.compat, pytest.mark.timeout(1200)]

# debian:bookworm-slim unpacked (75 MB), and what python:3.11-slim-bookworm adds to it: Python
# without its tests, and the libraries that it needs (50 MB). As `docker images` tells them.
BASE_MB = 125
MOST_MB = 700
MB = 1e6


@pytest.fixture(scope="module")
def build() -> Iterator[Build]:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs to be root on Linux, and unshare, to be alone with its file systems")
    # An overlay's own folder may not be one of the files that it covers: a file system of its own.
    folder = Path("/dev/shm") / f"graftscope-image-{os.getpid()}"
    folder.mkdir()
    try:
        probe = Stage([folder / "probe"], {})
        probe.layers[0].mkdir()
        try:
            run(probe, ["true"], {"PATH": os.environ["PATH"]}, writable=True)
        except AssertionError as error:
            pytest.skip(f"needs overlays: {error}")
        yield Build(ROOT / "deploy" / "Dockerfile", ROOT, folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(build: Build) -> Stage:
    return build.stage("cpu")


@contextmanager
def container(image: Stage, state: Path, variables: dict[str, str]) -> Iterator[list[str]]:
    """Its server, with a read-only file system; yields the command of its health check.

    At the end it is told to stop, as an engine tells it, and must have saved everything.
    """
    environment = {**image.environment, **variables}
    command = [*words(image.settings["ENTRYPOINT"]), *words(image.settings["CMD"]), "--json"]
    user, volumes = image.settings["USER"], {"/var/lib/graftscope": state}
    started = inside(image, command, volumes=volumes, user=user)
    with subprocess.Popen(started, env=environment, stdout=subprocess.PIPE) as outside:
        try:
            assert outside.stdout is not None
            assert json.loads(outside.stdout.readline())["address"]
            yield words(image.settings["HEALTHCHECK"])
            (server,) = psutil.Process(outside.pid).children()
            server.send_signal(getattr(signal, image.settings["STOPSIGNAL"]))
            assert outside.wait() == 0
        finally:
            # As process 1 of its own namespace it takes all others there with it.
            if outside.poll() is None:
                for server in psutil.Process(outside.pid).children():
                    server.kill()


def test_the_image_is_small_and_has_one_runtime_and_no_torch(image: Stage) -> None:
    installed = sum(size_bytes(layer) for layer in image.layers[:-1]) / MB
    whole = BASE_MB + installed
    sys.stderr.write(f"\nimage: {installed:.0f} MB above a base of {BASE_MB} MB: {whole:.0f} MB\n")
    assert whole < MOST_MB
    ask = (
        "import importlib.metadata as m; print(*sorted(x.name.lower() for x in m.distributions()))"
    )
    names = run(image, ["python", "-c", ask], image.environment).stdout.split()
    assert [x for x in names if x.startswith("onnxruntime")] == ["onnxruntime"]
    assert not {"torch", "pip", "setuptools"} & set(names)


def test_it_can_be_written_to_in_tmp_alone_and_not_even_by_root(image: Stage) -> None:
    touch = "for x in / /opt/graftscope /usr /var/lib/graftscope; do touch $x/x || echo $x; done"
    said = run(image, ["sh", "-c", f"{touch}; touch /tmp/x"], image.environment).stdout
    assert said.split() == ["/", "/opt/graftscope", "/usr", "/var/lib/graftscope"]
    user = image.settings["USER"]
    assert run(image, ["id", "-u"], image.environment, user=user).stdout.strip() == "10001"


def test_it_serves_says_so_and_computes_modules(image: Stage, free_ports: tuple[int, int]) -> None:
    port, health = free_ports
    state = Path("/dev/shm") / f"graftscope-state-{os.getpid()}"
    state.mkdir(mode=0o700)
    os.chown(state, 10001, 10001)
    variables = {
        "GRAFTSCOPE_LISTEN": f"127.0.0.1:{port}",
        "GRAFTSCOPE_HEALTH": f"127.0.0.1:{health}",
    }
    try:
        with container(image, state, variables) as check:
            asked = run(image, check, {**image.environment, **variables}, user="10001:10001")
            assert asked.stdout.strip() == "SERVING"
            with Client(f"127.0.0.1:{port}") as client:
                maps = client.influence("vae-celeba", "intermediate", pairs=32, channels=range(8))
                assert client.modules(maps, k=2).k == 2
        assert (state / "jobs.db").stat().st_uid == 10001
    finally:
        shutil.rmtree(state)


@pytest.fixture
def free_ports() -> tuple[int, int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in probes:
            each.bind(("127.0.0.1", 0))
        one, two = (each.getsockname()[1] for each in probes)
    return one, two
