"""A bundle whose manifest does not fit its graphs is named as such, and not a crash."""

from pathlib import Path

import pytest

from graftscope.bundle import BundleFolder, read_bundle
from graftscope.server.engine import Device, Generator, Latents, PriorPairs, SessionPool
from graftscope.server.errors import Corrupt
from graftscope.v1 import bundle_pb2


@pytest.fixture
def edited(toy_vae_bundle: Path) -> BundleFolder:
    """A bundle whose manifest may be changed in memory."""
    manifest = bundle_pb2.Bundle()
    manifest.CopyFrom(read_bundle(toy_vae_bundle).manifest)
    return BundleFolder(toy_vae_bundle, manifest)


def latents(generator: Generator) -> Latents:
    return PriorPairs(generator, seed=0).latents(range(2))[0]


def test_an_activation_that_the_graph_does_not_give_is_named(edited: BundleFolder) -> None:
    edited.manifest.layers[0].tensor = "nothing"
    generator = Generator(edited, SessionPool(Device.CPU, 4))
    with pytest.raises(Corrupt, match="does not give 'nothing', which its manifest names"):
        generator.record(generator.manifest.layers[0], latents(generator))


def test_an_input_that_the_manifest_does_not_know_is_named(edited: BundleFolder) -> None:
    edited.manifest.inputs[0].name = "y"
    generator = Generator(edited, SessionPool(Device.CPU, 4))
    with pytest.raises(Corrupt, match="needs the input 'z', which its manifest does not name"):
        generator.generate(latents(generator))


def test_a_file_that_is_no_graph_is_named(edited: BundleFolder) -> None:
    edited.manifest.generator = "weights.bin"
    generator = Generator(edited, SessionPool(Device.CPU, 4))
    with pytest.raises(Corrupt, match=r"cannot open .*weights\.bin"):
        generator.generate(latents(generator))
