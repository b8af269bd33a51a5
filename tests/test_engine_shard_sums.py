"""A shard's sums that grow where they lie are those that grow in numpy.

The processor's own provider runs the same graph through the same bindings as a GPU would.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from graftscope.bundle import read_bundle
from graftscope.server.analysis import InvalidInputError
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    PriorPairs,
    SessionPool,
)
from graftscope.server.engine._generator import Effects
from graftscope.server.engine._shards import DeviceSums, HostSums, ShardEffects, ShardSums

SHAPE = (2, 3)
SETS, BATCHES, A_RUN = 5, (4, 4, 1), 2
# Float64; the order of the additions is the same.
TOLERANCE = 1e-12


@pytest.fixture(scope="module")
def generator(toy_vae_bundle: Path) -> Generator:
    return Generator(read_bundle(toy_vae_bundle), SessionPool(Device.CPU, 8))


def filled(sums: ShardSums, *, on_device: bool, spoil: float = 0.0) -> ShardEffects:
    random = np.random.default_rng(3)
    for pairs in BATCHES:
        for first in range(0, SETS, A_RUN):
            some = range(first, min(first + A_RUN, SETS))
            maps = 100 + random.random((len(some), pairs, *SHAPE)) + spoil
            deviations = maps - maps.mean(axis=1, keepdims=True)
            arrays = maps.sum(axis=1), np.square(deviations).sum(axis=1), maps.mean(axis=(2, 3))
            if on_device:
                effects = Effects(*map(ort.OrtValue.ortvalue_from_numpy, arrays))
            else:
                effects = Effects(*arrays)
            sums.add(some, pairs, effects)
        sums.end_batch(pairs)
    return sums.result()


@pytest.mark.parametrize("on_device", [True, False])
def test_sums_on_the_device_are_those_in_numpy(generator: Generator, on_device: bool) -> None:
    there = filled(DeviceSums(generator, Cancellation()), on_device=on_device)
    here = filled(HostSums(SETS, sum(BATCHES)), on_device=on_device)
    for found in (there, here):
        np.testing.assert_array_equal(found.moments.count, np.full(SETS, sum(BATCHES)))
    np.testing.assert_allclose(there.moments.mean, here.moments.mean, rtol=TOLERANCE)
    np.testing.assert_allclose(there.moments.m2, here.moments.m2, rtol=TOLERANCE)
    np.testing.assert_array_equal(there.pixel_means, here.pixel_means)
    assert there.pixel_means.shape == (sum(BATCHES), SETS)


@pytest.mark.parametrize("spoil", [np.nan, np.inf])
def test_what_is_not_finite_is_an_error_there_too(generator: Generator, spoil: float) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(InvalidInputError):
        filled(DeviceSums(generator, Cancellation()), on_device=True, spoil=spoil)


def test_a_generators_effects_are_summed_where_they_lie(generator: Generator) -> None:
    layer = generator.manifest.layers[1]
    sets = np.eye(layer.channels, dtype=np.bool_)
    subject = ChannelSets(generator, layer, sets, generator.areas(0))
    sums: tuple[ShardSums, ...] = (
        DeviceSums(generator, Cancellation()),
        HostSums(len(subject), 6),
    )
    for pairs in (range(4), range(4, 6)):
        source, plan = PriorPairs(generator, 0), subject.plan()
        batch = subject.record(source, pairs, plan, Cancellation())
        effects = batch.effects(range(len(subject)))
        assert all(isinstance(x, ort.OrtValue) for x in effects.held.values())
        for each in sums:
            each.add(range(len(subject)), len(pairs), effects)
            each.end_batch(len(pairs))
    there, here = (each.result() for each in sums)
    np.testing.assert_allclose(there.moments.mean, here.moments.mean, rtol=TOLERANCE)
    np.testing.assert_allclose(there.moments.m2, here.moments.m2, rtol=TOLERANCE, atol=1e-300)
    np.testing.assert_array_equal(there.pixel_means, here.pixel_means)
