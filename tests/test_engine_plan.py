"""The size of a run, and how many go side by side, are bounded by what a sample's tensors take."""

from pathlib import Path

from graftscope.bundle import BundleFolder, read_bundle
from graftscope.server.engine import (
    Device,
    Generator,
    SessionPool,
    runs_side_by_side,
)
from graftscope.server.engine._plan import choose_plan
from graftscope.v1 import bundle_pb2


def large(bundle: Path, side: int) -> Generator:
    """A generator whose manifest speaks of 32 maps of this side; it is not run."""
    manifest = bundle_pb2.Bundle()
    manifest.CopyFrom(read_bundle(bundle).manifest)
    manifest.image.height = manifest.image.width = side
    last = manifest.layers[-1]
    last.channels, last.height, last.width = 32, side, side
    return Generator(BundleFolder(bundle, manifest), SessionPool(Device.CPU, 4))


def test_large_images_are_made_one_at_a_time(toy_vae_bundle: Path) -> None:
    generator = large(toy_vae_bundle, 1024)
    assert generator.widest_bytes() == 32 * 1024 * 1024 * 4
    plan = choose_plan(generator, generator.layer("coarse"), 512)
    assert (plan.batch, plan.sets) == (1, 1)
    assert runs_side_by_side(generator, 8) == 1


def test_smaller_ones_have_all_workers(toy_vae_bundle: Path) -> None:
    small = Generator(read_bundle(toy_vae_bundle), SessionPool(Device.CPU, 4))
    assert runs_side_by_side(small, 8) == 8
    middle = large(toy_vae_bundle, 512)
    assert 1 < runs_side_by_side(middle, 8) < 8


def test_places_leave_out_what_lies_above(toy_vae_bundle: Path) -> None:
    generator = large(toy_vae_bundle, 64)
    assert generator.widest_bytes(64 * 64 + 1) == 3 * 64 * 64 * 4
