"""Bundles of small generators, exported once a run, and a server that offers them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from graftscope.bundle import Originals
from graftscope.exporter import EncoderModule, export_module
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
