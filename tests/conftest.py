"""What several test files need: small generators, servers, clients and a shell.

A test asks for `client` or `shell`; what they speak to is `address`, by default that of a fake
server with `faults`. A file that defines an `address` of its own has both speak to that. One that
says ``CLIENTS = ("sync", "async")`` has its tests run with each client.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from _cli_shell import Shell
from _either_client import opened
from _fake_server import Faults, fake_server
from benchmarks.browser import Browser, browser
from benchmarks.bundles import export_module
from explorer_toys import Explored, explored
from graftscope.bundle import Originals
from graftscope.client import Client
from graftscope.exporter.sources._checkpoint import EncoderModule
from page_toys import DESK, Opened, watched
from postgres_toys import Postgres, postgres_server
from server_toys import Stubs, served
from torch_toys import (
    BUMP_GROUPS,
    SMALL,
    Grouped,
    ReusedLatent,
    built,
    bumps,
    small_encoder,
    small_generator,
)

# Toys are made here. What is tried in a child process has tests of its own, with limits of its own.
os.environ.setdefault("GRAFTSCOPE_SANDBOX", "false")


@pytest.fixture(scope="session")
def bundle_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder below which the bundles lie, each in one of its own."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def toy_vae_bundle(bundle_root: Path) -> Path:
    """Table 1's face VAE in small: `toy-vae`, with encoder, originals and levels."""
    size = SMALL.latent_size
    spread = np.random.default_rng(0).standard_normal((size, size))
    originals = Originals(np.linspace(-1.0, 1.0, size), spread @ spread.T / size)
    out = bundle_root / "toy-vae"
    export_module(
        small_generator(),
        {"z": torch.randn(2, size, generator=torch.Generator().manual_seed(0))},
        out,
        levels={layer.name: layer.level for layer in SMALL.layers if layer.level},
        encoder=EncoderModule(small_encoder(), originals),
    )
    return out


@pytest.fixture(scope="session")
def toy_skip_bundle(bundle_root: Path) -> Path:
    """`toy-skip`: a later block reads the latent and the noise again, so both are carried."""
    out = bundle_root / "toy-skip"
    export_module(
        built(ReusedLatent), {"z": torch.zeros(2, 8), "noise": torch.zeros(2, 1, 4, 4)}, out
    )
    return out


@pytest.fixture(scope="session")
def block_bundle(bundle_root: Path) -> Path:
    """`toy-blocks`: channels 0 and 1 draw the left half of the image, 2 and 3 the right half."""
    out = bundle_root / "toy-blocks"
    export_module(built(Grouped), {"z": torch.zeros(2, 8)}, out)
    return out


@pytest.fixture(scope="session")
def bumps_bundle(bundle_root: Path) -> Path:
    """`toy-bumps`: 24 channels in four modules that are known, each of one quarter."""
    out = bundle_root / "toy-bumps"
    export_module(bumps(), {"z": torch.zeros(2, len(BUMP_GROUPS))}, out)
    return out


@pytest.fixture(scope="session")
def toy_server(
    toy_vae_bundle: Path,
    toy_skip_bundle: Path,
    block_bundle: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stubs]:
    """A server with all three, for tests that leave it as it is."""
    bundles = [toy_vae_bundle, toy_skip_bundle, block_bundle]
    with served(bundles, tmp_path_factory.mktemp("served")) as stubs:
        yield stubs


@pytest.fixture(scope="session")
def bumps_server(bumps_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """A server with `toy-bumps`, for tests that leave it as it is."""
    with served([bumps_bundle], tmp_path_factory.mktemp("bumps")) as stubs:
        yield stubs


@pytest.fixture(scope="session")
def explorer(toy_server: Stubs) -> Iterator[Explored]:
    """An explorer of that server."""
    with explored(toy_server.address) as running:
        yield running


# Not of the session: while Playwright has a browser, no other event loop can run in its thread.
@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory, explorer: Explored) -> Iterator[Browser]:
    """A tab of Chromium that the explorer has admitted."""
    with browser(tmp_path_factory.mktemp("profile")) as opened_tab:
        opened_tab.listen()
        opened_tab.open(explorer.addresses[-1], DESK)
        yield opened_tab


@pytest.fixture
def at(tab: Browser, explorer: Explored) -> Iterator[Opened]:
    """The explorer's page."""
    with watched(tab, explorer) as page:
        yield page


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, where one can be had."""
    with postgres_server() as running:
        yield running


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a file with each client that it names."""
    kinds = getattr(metafunc.module, "CLIENTS", None)
    if kinds and "client" in metafunc.fixturenames:
        metafunc.parametrize("client", kinds, indirect=True)


@pytest.fixture
def faults() -> Faults:
    """What the fake server does wrong: nothing."""
    return Faults()


@pytest.fixture
def server(faults: Faults) -> Iterator[tuple[str, Faults]]:
    """A fake server's address, and what it did wrong and was asked."""
    with fake_server(faults) as running:
        yield running


@pytest.fixture
def address(server: tuple[str, Faults]) -> str:
    """Of the server that `client` and `shell` speak to."""
    return server[0]


@pytest.fixture
def client(request: pytest.FixtureRequest, address: str) -> Iterator[Any]:
    """A client of the server; which of the two, the file may say."""
    with opened(getattr(request, "param", "sync"), address) as client:
        yield client


@pytest.fixture
def shell(address: str, capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command line, speaking to the server."""
    return Shell(address, capsys)


@pytest.fixture(scope="module")
def toy_client(toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client with a server of its own, which offers `toy-vae`."""
    with Client(bundles=[toy_vae_bundle], state=tmp_path_factory.mktemp("state")) as client:
        yield client


@pytest.fixture
def server_logger() -> Iterator[logging.Logger]:
    """The server's logger, given back as it was."""
    logger = logging.getLogger("graftscope.server")
    before = logger.level, logger.handlers, logger.propagate
    yield logger
    logger.setLevel(before[0])
    logger.handlers, logger.propagate = before[1:]
