"""Products of effects equal a slow computation from hybrids that are made one by one."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from graftscope.bundle import read_bundle
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    Latents,
    Plan,
    PriorPairs,
    SessionPool,
    channel_set,
    shard_effects,
)
from graftscope.server.engine._plan import choose_plan
from graftscope.server.engine._shards import PRODUCT_SIDE, pair_products
from graftscope.v1 import bundle_pb2
from intervention_toys import hybridize

PAIRS = 5
# Float32 images; ONNX Runtime may optimise the spliced graph in another way.
TOLERANCE = 1e-5


@pytest.fixture(params=["toy_vae_bundle", "toy_skip_bundle", "bumps_bundle"])
def generator(request: pytest.FixtureRequest) -> Generator:
    path: Path = request.getfixturevalue(request.param)
    return Generator(read_bundle(path), SessionPool(Device.CPU, 32))


def subject_of(generator: Generator, layer: bundle_pb2.Layer) -> ChannelSets:
    sets = np.eye(layer.channels, dtype=np.bool_)
    return ChannelSets(generator, layer, sets, generator.areas(0), products=True)


def effect(
    generator: Generator, layer: bundle_pb2.Layer, channel: int, z1: Latents, z2: Latents
) -> NDArray[np.float64]:
    """|hybrid - original 1| of one pair, averaged over colour and over areas, (P,)."""
    found = hybridize(generator, layer, channel_set(layer, np.array([channel])), z1, z2)
    change = np.abs(found.hybrid.astype(np.float64) - found.original1)[0].mean(axis=0)  # (H, W)
    side = -(-len(change) // PRODUCT_SIDE)
    rows, columns = (extent // side for extent in change.shape)
    areas = change.reshape(rows, side, columns, side).mean(axis=(1, 3))
    return np.asarray(areas.ravel())


def test_products_equal_those_of_hybrids_that_are_made_one_by_one(generator: Generator) -> None:
    source = PriorPairs(generator, seed=3)
    z1, z2 = source.latents(range(PAIRS))
    for layer in generator.manifest.layers:
        expected = np.zeros((layer.channels, layer.channels))
        for i in range(PAIRS):
            one, two = ({name: x[i : i + 1] for name, x in z.items()} for z in (z1, z2))
            effects = [effect(generator, layer, c, one, two) for c in range(layer.channels)]
            expected += [[np.mean(a * b) for b in effects] for a in effects]
        plan = choose_plan(generator, layer, layer.channels, one_pair=True)
        assert plan.batch == 1
        shard = shard_effects(
            subject_of(generator, layer), plan, source, range(PAIRS), Cancellation()
        )
        assert shard.products is not None
        np.testing.assert_allclose(
            shard.products / PAIRS, expected / PAIRS, rtol=0, atol=TOLERANCE, err_msg=layer.name
        )


def test_the_bumps_are_averaged_over_areas_before_they_are_multiplied(bumps_bundle: Path) -> None:
    image = read_bundle(bumps_bundle).manifest.image
    assert max(image.height, image.width) == 2 * PRODUCT_SIDE


def test_products_are_symmetric_and_zero_for_channels_without_effect(
    generator: Generator,
) -> None:
    layer = generator.manifest.layers[0]
    plan = choose_plan(generator, layer, layer.channels, one_pair=True)
    source = PriorPairs(generator, seed=0)
    shard = shard_effects(
        subject_of(generator, layer), plan, source, range(SHARD_PAIRS), Cancellation()
    )
    assert shard.products is not None
    np.testing.assert_array_equal(shard.products, shard.products.T)
    acts = shard.moments.mean.any(axis=(1, 2))
    np.testing.assert_array_equal(shard.products.diagonal() > 0, acts)
    np.testing.assert_array_equal(shard.products.any(axis=1), acts)


def test_maps_are_those_that_are_computed_without_products(generator: Generator) -> None:
    layer = generator.manifest.layers[0]
    source = PriorPairs(generator, seed=0)
    subject = subject_of(generator, layer)
    plain = ChannelSets(generator, layer, subject.sets, subject.areas)
    many = Plan(batch=4, sets=2, provider=generator.provider)
    single = choose_plan(generator, layer, layer.channels, one_pair=True)
    with_products = shard_effects(subject, single, source, range(8), Cancellation())
    without = shard_effects(plain, many, source, range(8), Cancellation())
    assert without.products is None
    for name in ("mean", "m2"):
        ours, theirs = (getattr(x.moments, name) for x in (with_products, without))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_products_do_not_depend_on_the_threads_that_blas_is_left() -> None:
    # 100 rows: OpenBLAS rounds those in another way on two threads than on one.
    maps = np.random.default_rng(0).random((100, 16, 16))
    found = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads, user_api="blas"):
            found.append(pair_products(maps).tobytes())
    assert len(set(found)) == 1
