"""Some of a subject's interventions have the maps that they have among all of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.graph.rewrites import SHARE
from graftscope.server.engine import (
    Backend,
    Cancellation,
    ChannelSets,
    Device,
    Edit,
    Generator,
    Interventions,
    LayeredSets,
    PriorPairs,
    SessionPool,
    Subject,
    open_bundles,
    shard_effects,
)
from graftscope.server.engine._devices import Graph
from graftscope.server.engine._sessions import Session

PAIRS = range(32, 64)

# How many sets a run has decides how a product of matrices is summed, in float32.
ROUNDING = 1e-6  # of images in [-1, 1]


class OpenedPool(SessionPool):
    """A pool that remembers what it opened."""

    def __init__(self) -> None:
        super().__init__(Device.CPU, 64)
        self.opened: list[str] = []

    def get(self, key: str, graph: Callable[[], Graph], backend: Backend | None = None) -> Session:
        def opened() -> Graph:
            self.opened.append(key)
            return graph()

        return super().get(key, opened, backend)


@pytest.fixture
def pool() -> OpenedPool:
    return OpenedPool()


@pytest.fixture(params=["toy_vae_bundle", "block_bundle"])
def generator(request: pytest.FixtureRequest, pool: OpenedPool) -> Generator:
    folder: Path = request.getfixturevalue(request.param)
    (opened,) = open_bundles([folder])
    return Generator(opened, pool)


def of_channels(generator: Generator) -> ChannelSets:
    layer = generator.manifest.layers[-1]
    return ChannelSets(
        generator, layer, np.eye(layer.channels, dtype=np.bool_), generator.areas(16)
    )


def of_modules(generator: Generator) -> ChannelSets:
    subject = of_channels(generator)
    return replace(subject, sets=subject.sets | np.roll(subject.sets, 1, axis=1))


def of_layers(generator: Generator) -> LayeredSets:
    layers = generator.manifest.layers
    parts = [
        replace(of_channels(generator), layer=x, sets=np.eye(x.channels, dtype=np.bool_))
        for x in layers
    ]
    return LayeredSets(generator, tuple(parts))


def of_interventions(generator: Generator) -> Interventions:
    edits: list[tuple[Edit[Any], ...]] = [
        (Edit(layer.name, (channel,), action="constant", number=0.0),)
        for layer in generator.manifest.layers
        if layer.upstream
        for channel in range(2)
    ]
    return Interventions(generator, tuple(edits), generator.areas(16))


SUBJECTS = [of_channels, of_modules, of_layers, of_interventions]


def some_of(subject: Subject) -> NDArray[np.int64]:
    """Every second row, but not the first."""
    return np.arange(1, len(subject), 2)


@pytest.mark.parametrize("of", SUBJECTS)
def test_some_rows_have_their_maps_by_every_plan_of_all(
    generator: Generator, pool: OpenedPool, of: Callable[[Generator], Subject]
) -> None:
    subject, source = of(generator), PriorPairs(generator, 3)
    for plan in subject.candidates(generator.backends("fp32")[:1]):
        whole = shard_effects(subject, plan, source, PAIRS, Cancellation())
        opened, rows = len(pool.opened), some_of(subject)
        some = shard_effects(subject.only(rows), plan, source, PAIRS, Cancellation())
        assert len(pool.opened) == opened
        at_most = ROUNDING if plan.rewrites else 0.0
        for ours, theirs in (
            (some.moments.mean, whole.moments.mean[rows]),
            (some.moments.m2, whole.moments.m2[rows]),
            (some.pixel_means, whole.pixel_means[:, rows]),
        ):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=at_most)


def test_one_channel_by_the_shared_operation_has_its_map(generator: Generator) -> None:
    subject, source = of_channels(generator), PriorPairs(generator, 3)
    plans = [x for x in subject.candidates(generator.backends("fp32")[:1]) if SHARE in x.rewrites]
    assert plans
    for plan in plans:
        whole = shard_effects(subject, plan, source, PAIRS, Cancellation())
        for row in range(len(subject)):
            one = shard_effects(subject.only(np.array([row])), plan, source, PAIRS, Cancellation())
            np.testing.assert_allclose(one.moments.mean, whole.moments.mean[[row]], atol=ROUNDING)


def test_originals_are_not_recorded_at_a_layer_of_which_nothing_is_left(
    generator: Generator, pool: OpenedPool
) -> None:
    subject, source = of_layers(generator), PriorPairs(generator, 3)
    plan = subject.plan()
    layer = next(i for i, part in enumerate(subject.parts) if part.layer.upstream)
    rows = np.array(subject.rows[layer])
    only = subject.only(rows)
    assert [part.layer.name for part in only.parts] == [subject.parts[layer].layer.name]
    found = shard_effects(only, plan, source, PAIRS, Cancellation())
    others = [part.layer.tensor for part in subject.parts if part is not subject.parts[layer]]
    assert not [key for key in pool.opened if any(name in key for name in others)]
    alone = shard_effects(subject.parts[layer], plan, source, PAIRS, Cancellation())
    assert found.moments.mean.tobytes() == alone.moments.mean.tobytes()
