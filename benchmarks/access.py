"""What it costs to be asked who one is, and to speak through TLS: milliseconds of a hybrid.

    make bench ARGS="--only access"

Servers in processes of their own, one a way, are asked for the same hybrid in turns, one call at a
time; each call is compared with the one to the server that asks nobody, right before or after it.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme

from benchmarks import markdown
from benchmarks.figures import Spread
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.serving_load import SERVE, hybridize_request
from graftscope.bundle import read_bundle, shipped
from graftscope.client.calls import TLS, Access
from graftscope.server.access import Role, TokenStore
from graftscope.v1 import model_service_pb2_grpc

MAY_ADD_MS = 0.3
LEVEL = "intermediate"
MODEL = "vae-celeba"
PLAIN, TOKEN, CERTIFICATE = "plaintext, nobody asked", "TLS and a token", "mutual TLS"


@dataclass(frozen=True)
class Papers:
    """An authority, and certificates that it has signed, in a folder."""

    folder: Path

    def __post_init__(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        for name, identity in (("server", "127.0.0.1"), ("client", "alice@lab.example")):
            made = authority.issue_cert(identity)
            made.private_key_pem.write_to_path(str(self.folder / f"{name}.key"))
            made.cert_chain_pems[0].write_to_path(str(self.folder / f"{name}.pem"))

    def options(self, way: str) -> list[str]:
        """What a server of this way is told."""
        if way == PLAIN:
            return []
        tls = ["--tls-cert", f"{self.folder}/server.pem", "--tls-key", f"{self.folder}/server.key"]
        if way == CERTIFICATE:
            return [*tls, "--tls-client-ca", f"{self.folder}/ca.pem"]
        return [*tls, "--auth", "token"]

    def access(self, way: str, state: Path) -> Access:
        """What a client of this way shows."""
        if way == PLAIN:
            return Access()
        ca = self.folder / "ca.pem"
        if way == CERTIFICATE:
            return Access(tls=TLS(ca, self.folder / "client.pem", self.folder / "client.key"))
        with closing(TokenStore(f"sqlite:///{state / 'jobs.db'}")) as store:
            return Access(store.create("alice", Role.ANALYST)[0], ca)


@contextmanager
def serving(more: Sequence[str], state: Path, workers: int) -> Iterator[str]:
    """A server that is told so much more; gives its address."""
    command = [sys.executable, "-c", SERVE, "serve", "--json", "--listen", "127.0.0.1:0"]
    command += ["--state", str(state), "--workers", str(workers), "--log-level", "error"]
    command += more
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"]
    finally:
        process.terminate()
        process.wait()


class Caller:
    """Asks one server for hybrids, one at a time."""

    def __init__(self, access: Access, address: str) -> None:
        self._way = access.to(address)
        self._channel = self._way.aio_channel()
        stub = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._hybridize: Any = stub.Hybridize

    async def __aenter__(self) -> "Caller":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def ms(self, layer: str, number: int, channels: int) -> float:
        """Milliseconds of a call."""
        request = hybridize_request(layer, number, channels)
        started = time.perf_counter()
        assert (await self._hybridize(request, metadata=self._way.metadata)).hybrid.tensor.data
        return 1e3 * (time.perf_counter() - started)


def measure(options: Options, _: Machine) -> dict[str, object]:
    """Milliseconds of a hybrid each way, and what it takes more than the plain one."""
    rounds, calls = (2, 20) if options.quick else (9, 200)
    ways = (PLAIN, TOKEN, CERTIFICATE)
    with TemporaryDirectory() as folder:
        papers = Papers(Path(folder))
        return asyncio.run(_measured(papers, ways, options.cores, rounds, calls))


async def _measured(
    papers: Papers, ways: tuple[str, ...], workers: int, rounds: int, calls: int
) -> dict[str, object]:
    layers = read_bundle(shipped()[MODEL]).manifest.layers
    layer = next(each for each in layers if each.level == LEVEL)
    async with AsyncExitStack() as stack:
        callers = {}
        for number, way in enumerate(ways):
            state = papers.folder / str(number)
            address = stack.enter_context(serving(papers.options(way), state, workers))
            caller = Caller(papers.access(way, state), address)
            callers[way] = await stack.enter_async_context(caller)
        medians: dict[str, list[float]] = {way: [] for way in ways}
        above: dict[str, list[float]] = {way: [] for way in ways[1:]}
        for turn in range(1 + rounds):
            times: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(calls):
                # In another order each time, so that none always follows another.
                for i in range(len(ways)):
                    way = ways[(i + number) % len(ways)]
                    times[way].append(await callers[way].ms(layer.name, number, layer.channels))
            if not turn:
                continue  # The first opens the sessions.
            for way in ways:
                medians[way].append(statistics.median(times[way]))
            for way, found in above.items():
                more = [x - y for x, y in zip(times[way], times[PLAIN], strict=True)]
                found.append(statistics.median(more))
    return {
        "ms": {way: asdict(Spread.of(each)) for way, each in medians.items()},
        "above_ms": {way: asdict(Spread.of(each)) for way, each in above.items()},
    }


def table(result: Mapping[str, Any]) -> str:
    """Beside what it may add."""
    rows = []
    for way, found in result["ms"].items():
        more = result["above_ms"].get(way)
        told = ["-", "-"] if more is None else [markdown.ratio(Spread(**more)), f"{MAY_ADD_MS}"]
        rows.append([way, markdown.ratio(Spread(**found)), *told])
    return markdown.table(["way", "hybrid (ms)", "above the first (ms)", "may add (ms)"], rows)
