"""The engine's numbers equal a slow, independent computation, and its identities hold exactly."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from graftscope.bundle import BundleFolder, read_bundle
from graftscope.server.analysis import MapMoments
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    GivenPairs,
    PairSource,
    Plan,
    PriorPairs,
    SessionPool,
    channel_set,
    shard_effects,
)
from graftscope.server.engine._plan import choose_plan
from graftscope.server.errors import Cancelled, InvalidInput
from graftscope.v1 import bundle_pb2
from intervention_toys import hybridize

# One whole shard and a part of one.
PAIRS = SHARD_PAIRS + 5
# ONNX Runtime may optimise the spliced graph in another way than the half alone.
TOLERANCE = 1e-5

Latents = dict[str, NDArray[np.generic]]


@pytest.fixture(params=["toy_vae_bundle", "toy_skip_bundle"])
def folder(request: pytest.FixtureRequest) -> BundleFolder:
    path: Path = request.getfixturevalue(request.param)
    return read_bundle(path)


@pytest.fixture
def generator(folder: BundleFolder) -> Generator:
    return Generator(folder, SessionPool(Device.CPU, 32))


@pytest.fixture
def source(generator: Generator) -> PairSource:
    return PriorPairs(generator, seed=3)


class SlowHalves:
    """The two halves of one layer in sessions of their own, spliced in numpy."""

    def __init__(self, folder: BundleFolder, layer: bundle_pb2.Layer) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        self.layer = layer
        self.upstream, self.downstream = (
            ort.InferenceSession(folder.path / name, options, providers=["CPUExecutionProvider"])
            # Nothing lies above an input: any graph that is run there only wastes time.
            for name in (layer.upstream or layer.downstream, layer.downstream)
        )

    def record(self, latents: Latents) -> tuple[NDArray[np.float32], Latents]:
        feeds = {x.name: latents[x.name] for x in self.upstream.get_inputs()}
        names = [x.name for x in self.upstream.get_outputs()]
        outputs = dict(zip(names, self.upstream.run(names, feeds), strict=True))
        crossing = {**latents, **outputs}
        carried = {name: crossing[name] for name in self.layer.carried}
        return crossing[self.layer.tensor], carried

    def image(self, activation: NDArray[np.float32], carried: Latents) -> NDArray[np.float64]:
        feeds = {self.layer.tensor: activation, **carried}
        (image,) = self.downstream.run(None, feeds)
        return np.asarray(image, dtype=np.float64)

    def effects(self, z1: Latents, z2: Latents, channels: list[int]) -> NDArray[np.float64]:
        """(B, H, W): |hybrid - original 1| averaged over colour, for every pair."""
        first, carried = self.record(z1)
        second, _ = self.record(z2)
        spliced = first.copy()
        spliced[:, channels] = second[:, channels]
        effect = np.abs(self.image(spliced, carried) - self.image(first, carried))
        return np.asarray(effect.mean(axis=1))


def each_layer(generator: Generator) -> Iterator[bundle_pb2.Layer]:
    yield from generator.manifest.layers


def test_maps_and_both_standard_errors_equal_a_slow_computation(
    folder: BundleFolder, generator: Generator, source: PairSource
) -> None:
    for layer in each_layer(generator):
        sets = np.eye(layer.channels, dtype=np.bool_)
        sets[0, :2] = True
        subject = ChannelSets(generator, layer, sets, generator.areas(0))
        plan = Plan(batch=8, sets=3, provider=generator.provider)
        shards = [range(SHARD_PAIRS), range(SHARD_PAIRS, PAIRS)]
        parts = [shard_effects(subject, plan, source, x, Cancellation()) for x in shards]
        moments = reduce(MapMoments.merge, [part.moments for part in parts])
        means = [MapMoments.from_pixel_means(part.pixel_means) for part in parts]
        individual = reduce(MapMoments.merge, means)

        halves = SlowHalves(folder, layer)
        z1, z2 = source.latents(range(PAIRS))
        for i, chosen in enumerate(sets):
            effects = halves.effects(dict(z1), dict(z2), np.flatnonzero(chosen).tolist())
            spread = np.sqrt(PAIRS)
            expected = {
                "mean": (moments.mean[i], effects.mean(axis=0)),
                "stderr": (moments.stderr()[i], effects.std(axis=0, ddof=1) / spread),
                "individual": (individual.mean[i].item(), effects.mean()),
                "individual stderr": (
                    individual.stderr()[i].item(),
                    effects.mean(axis=(1, 2)).std(ddof=1) / spread,
                ),
            }
            for name, (ours, slow) in expected.items():
                np.testing.assert_allclose(ours, slow, atol=TOLERANCE, rtol=0, err_msg=name)


def test_identities_of_splicing_hold_exactly_at_every_layer(
    generator: Generator, source: PairSource
) -> None:
    z1, z2 = source.latents(range(4))
    for layer in each_layer(generator):
        none = channel_set(layer, np.array([], dtype=np.int64))
        some = channel_set(layer, np.array([0, layer.channels - 1]))
        nothing = hybridize(generator, layer, none, z1, z2)
        np.testing.assert_array_equal(nothing.hybrid, nothing.original1)
        same = hybridize(generator, layer, some, z1, z1)
        np.testing.assert_array_equal(same.hybrid, same.original1)
        if not layer.carried:
            everything = hybridize(generator, layer, ~none, z1, z2)
            np.testing.assert_array_equal(everything.hybrid, everything.original2)
            there = hybridize(generator, layer, some, z1, z2)
            back = hybridize(generator, layer, ~some, z2, z1)
            np.testing.assert_array_equal(there.hybrid, back.hybrid)


def test_originals_of_a_hybrid_are_what_the_whole_graph_generates(
    generator: Generator, source: PairSource
) -> None:
    z1, z2 = source.latents(range(4))
    width = generator.manifest.image.high - generator.manifest.image.low
    for layer in each_layer(generator):
        chosen = channel_set(layer, np.array([0]))
        hybrids = hybridize(generator, layer, chosen, z1, z2)
        for ours, latents in ((hybrids.original1, z1), (hybrids.original2, z2)):
            np.testing.assert_allclose(
                ours, generator.generate(latents), atol=TOLERANCE * width, rtol=0
            )


def test_one_plan_gives_the_same_bits_for_any_number_of_threads(
    generator: Generator, source: PairSource
) -> None:
    layer = generator.manifest.layers[0]
    subject = ChannelSets(
        generator, layer, np.eye(layer.channels, dtype=np.bool_), generator.areas(0)
    )
    plan = choose_plan(generator, layer, layer.channels)
    shards = [range(i, i + SHARD_PAIRS) for i in range(0, 4 * SHARD_PAIRS, SHARD_PAIRS)]

    def compute(threads: int) -> tuple[bytes, bytes, bytes]:
        with ThreadPoolExecutor(threads) as executor:
            parts = list(
                executor.map(
                    lambda x: shard_effects(subject, plan, source, x, Cancellation()), shards
                )
            )
        moments = reduce(MapMoments.merge, [part.moments for part in parts])
        means = np.concatenate([part.pixel_means for part in parts])
        return moments.mean.tobytes(), moments.m2.tobytes(), means.tobytes()

    assert compute(1) == compute(2) == compute(3)


def test_given_latents_are_used_as_they_are(generator: Generator, source: PairSource) -> None:
    z1, z2 = source.latents(range(6))
    given = GivenPairs(z1, z2)
    for ours, theirs in zip(given.latents(range(2, 5)), (z1, z2), strict=True):
        for name, rows in ours.items():
            np.testing.assert_array_equal(rows, theirs[name][2:5])


def test_maps_of_areas_are_averages_of_the_maps(generator: Generator, source: PairSource) -> None:
    layer = generator.manifest.layers[0]
    sets = np.eye(layer.channels, dtype=np.bool_)
    plan = Plan(batch=4, sets=2, provider=generator.provider)
    _, height, width = generator.image_shape
    whole, halved = (
        shard_effects(
            ChannelSets(generator, layer, sets, generator.areas(size)),
            plan,
            source,
            range(4),
            Cancellation(),
        )
        for size in (0, max(height, width) // 2)
    )
    blocks = whole.moments.mean.reshape(len(sets), height // 2, 2, width // 2, 2)
    np.testing.assert_allclose(halved.moments.mean, blocks.mean(axis=(2, 4)), atol=1e-6)
    np.testing.assert_array_equal(halved.pixel_means, whole.pixel_means)


def test_a_cancelled_shard_stops(generator: Generator, source: PairSource) -> None:
    layer = generator.manifest.layers[0]
    subject = ChannelSets(
        generator, layer, np.eye(layer.channels, dtype=np.bool_), generator.areas(0)
    )
    cancellation = Cancellation()
    cancellation.cancel()
    plan = choose_plan(generator, layer, layer.channels)
    with pytest.raises(Cancelled):
        shard_effects(subject, plan, source, range(4), cancellation)


def test_an_unknown_layer_is_named_beside_those_that_there_are(generator: Generator) -> None:
    names = [layer.name for layer in generator.manifest.layers]
    with pytest.raises(InvalidInput, match="conv9") as caught:
        generator.layer("conv9")
    assert all(name in str(caught.value) for name in names)
