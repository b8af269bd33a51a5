"""Facts about the programs in `examples`, run as their READMEs say, against a server with TLS."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from _fake_server import Faults, fake_server
from access_toys import papers, protected, token_of
from graftscope.bundle import shipped
from graftscope.client import Client

pytestmark = pytest.mark.compat

EXAMPLES = Path(__file__).parents[2] / "examples"
MODEL = "vae-cifar10"
LAYER = "coarse"
PAIRS = 64
BUILD_S = 900.0
OLDEST_NODE = 20
OLDEST_GRPC_OF_GO = (1, 63)


@dataclass(frozen=True)
class Server:
    """A server that asks for tokens, through TLS."""

    address: str
    ca: Path
    token: Path

    @property
    def options(self) -> list[str]:
        where = ["--server", self.address, "--ca", str(self.ca), "--token-file", str(self.token)]
        return [*where, "--model", MODEL, "--layer", LAYER, "--pairs", str(PAIRS)]


@dataclass(frozen=True)
class Tour:
    """A program of `examples`.

    Attributes:
        command: what starts it.
        codes: what it calls some of gRPC's statuses.
    """

    command: list[str]
    codes: dict[str, str]

    def run(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """Runs it, with nothing of Graftscope's in its environment."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith("GRAFTSCOPE_")}
        return subprocess.run(
            [*self.command, *options],
            capture_output=True,
            text=True,
            env=environ,
            timeout=BUILD_S,
            check=False,
        )


def built(*command: str, folder: Path) -> None:
    """Builds an example; what is in its way, when all that it needs is there, is a failure."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@cache
def node() -> Tour:
    needs("node", "npm")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"node {version.stdout.strip()} is older than {OLDEST_NODE}")
    built("npm", "ci", "--no-audit", "--no-fund", folder=EXAMPLES / "node")
    codes = {"INVALID_ARGUMENT": "INVALID_ARGUMENT", "UNAUTHENTICATED": "UNAUTHENTICATED"}
    return Tour(["node", str(EXAMPLES / "node" / "tour.js")], {**codes, "CANCELLED": "CANCELLED"})


@cache
def go() -> Tour:
    needs("go", "protoc", "protoc-gen-go", "protoc-gen-go-grpc")
    packages = Path(os.environ.get("GOCODE", "/usr/share/gocode")) / "src/google.golang.org/grpc"
    if not packages.is_dir():
        pytest.skip(f"Debian's golang-google-grpc-dev is not installed: there is no {packages}")
    found = re.search(r'Version = "(\d+)\.(\d+)', (packages / "version.go").read_text())
    assert found
    if (int(found[1]), int(found[2])) < OLDEST_GRPC_OF_GO:
        pytest.skip(f"{packages} is {found[1]}.{found[2]}: Debian 13 has one that is new enough")
    built("./build.sh", folder=EXAMPLES / "go")
    codes = {"INVALID_ARGUMENT": "InvalidArgument", "UNAUTHENTICATED": "Unauthenticated"}
    return Tour([str(EXAMPLES / "go" / "tour")], {**codes, "CANCELLED": "Canceled"})


@pytest.fixture(params=[node, go], ids=["node", "go"])
def tour(request: pytest.FixtureRequest) -> Tour:
    make: Callable[[], Tour] = request.param
    return make()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made, state = papers(tmp_path), tmp_path / "state"
    chain, key = made.of_server()
    token = tmp_path / "ann.token"
    token.write_text(token_of(state, "ann") + "\n", encoding="utf-8")
    with protected([shipped()[MODEL]], state, tls_cert=chain, tls_key=key) as address:
        # A name, as servers have: some libraries do not expect addresses in certificates.
        yield Server(address.replace("127.0.0.1", "localhost"), made.ca, token)


def test_a_tour_sees_and_makes_what_the_python_client_does(
    tour: Tour, server: Server, tmp_path: Path
) -> None:
    done = tour.run(*server.options, "--out", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    with Client(server.address, tls=server.ca, token=server.token.read_text().strip()) as client:
        model = client.model(MODEL)
        found = client.influence(MODEL, LAYER, pairs=PAIRS, seed=1)
        order = np.argsort(-found.individual, kind="stable")
        strongest = order[: -(-len(order) // 4)]
        files = client.hybridize(
            MODEL, LAYER, sorted(strongest.tolist()), pairs=1, seed=7, encoding="png"
        )
        cancelled = client.jobs(["cancelled"], limit=1)
    layers = ", ".join(f"{each.name} ({each.channels})" for each in model.layers)
    height, width = model.image.height, model.image.width
    lines = done.stdout.splitlines()
    assert lines[0] == f"models/{MODEL}: images of {width} x {height}; channels of {layers}"
    assert re.search(r"^influence: running, [012] of 2 shards$", done.stdout, re.M)
    for channel in order[:3]:
        y, x = np.unravel_index(found.maps[channel].argmax(), found.maps[channel].shape)
        share = 100 * found.individual[channel] / found.range_width
        assert (
            f"channel {channel} changes the image by {share:.4f} % of its range, most at x {x},"
            f" y {y}"
        ) in lines
    digest = hashlib.sha256(found.maps.astype("<f8").tobytes()).hexdigest()
    assert f"maps: {' x '.join(map(str, found.maps.shape))}, sha256 {digest}" in lines
    assert (tmp_path / "hybrid.png").read_bytes() == files.hybrid[0]
    assert lines[-1] == f"cancelled: {tour.codes['CANCELLED']}"
    assert len(cancelled) == 1


def test_a_refusal_is_one_line_with_what_the_server_says_of_it(tour: Tour, server: Server) -> None:
    done = tour.run(*server.options, "--layer", "nowhere")
    assert done.returncode == 1
    code = tour.codes["INVALID_ARGUMENT"]
    assert done.stderr == (
        f"error: layer 'nowhere' is not in model '{MODEL}'; it has: z, fc (coarse), deconv1"
        f" (intermediate), deconv2 (image) ({code}, INVALID_INPUT, field layer)\n"
    )


def test_who_shows_no_token_is_told_so_and_a_token_is_not_sent_in_the_clear(
    tour: Tour, server: Server
) -> None:
    done = tour.run("--server", server.address, "--ca", str(server.ca))
    assert done.returncode == 1
    assert done.stderr.startswith("error: this server asks for a token: ")
    assert done.stderr.endswith(f" ({tour.codes['UNAUTHENTICATED']}, NO_TOKEN)\n")
    done = tour.run("--server", server.address, "--token-file", str(server.token))
    assert done.returncode == 1
    assert done.stderr.startswith("error: a token is not sent in the clear")


def test_node_reaches_an_ip_address_without_a_warning_and_guesses_at_tls(server: Server) -> None:
    address = server.address.replace("localhost", "127.0.0.1")
    asked = node().run("--server", address, "--ca", str(server.ca), "--layer", "nowhere")
    assert asked.stderr.startswith("error: this server asks for a token: ")
    assert asked.stderr.count("\n") == 1
    done = node().run("--server", address)
    assert done.returncode == 1
    assert done.stderr.endswith("(a server that speaks TLS needs --ca FILE) (UNAVAILABLE)\n")
    other = address.replace("127.0.0.1", "127.0.0.2")
    refused = node().run("--server", other, "--ca", str(server.ca))
    assert refused.returncode == 1


def test_a_watch_that_breaks_is_opened_again(tour: Tour, tmp_path: Path) -> None:
    faults = Faults(inline_limit_bytes=0, broken_watches=1)
    with fake_server(faults) as (address, _):
        done = tour.run("--server", address, "--out", str(tmp_path))
    assert faults.broken_watches == 0
    assert "maps: 6 x 6 x 6, sha256 " in done.stdout, done.stderr


def test_a_chunk_that_was_damaged_on_its_way_is_found(tour: Tour, tmp_path: Path) -> None:
    with fake_server(Faults(inline_limit_bytes=0, chunk_bytes=64, corrupt_chunks=1)) as (where, _):
        done = tour.run("--server", where, "--out", str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: a chunk of artifact [0-9a-f]{64} was damaged on its way\n", done.stderr
    )
    with fake_server(Faults(inline_limit_bytes=0, wrong_artifact=True)) as (where, _):
        done = tour.run("--server", where, "--out", str(tmp_path))
    assert re.fullmatch(r"error: artifact \w+ is not what its name says\n", done.stderr)
