"""Several layers in one pass give what each gives in a pass of its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graftscope.server.engine import (
    Backend,
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    LayeredSets,
    Plan,
    PriorPairs,
    SessionPool,
    open_bundles,
    shard_effects,
)
from graftscope.server.engine._devices import Graph
from graftscope.server.engine._sessions import Session

PAIRS = range(7, 7 + 20)
# A rewritten path's own bound.
TOLERANCE = 1e-5


class ListedPool(SessionPool):
    """A pool that remembers what it was asked for."""

    def __init__(self, device: Device, limit: int) -> None:
        super().__init__(device, limit)
        self.asked: list[str] = []

    def get(self, key: str, graph: Callable[[], Graph], backend: Backend | None = None) -> Session:
        self.asked.append(key)
        return super().get(key, graph, backend)


@pytest.fixture(params=["toy_vae_bundle", "toy_skip_bundle", "block_bundle"])
def generator(request: pytest.FixtureRequest) -> Generator:
    folder: Path = request.getfixturevalue(request.param)
    (opened,) = open_bundles([folder])
    return Generator(opened, SessionPool(Device.CPU, 32))


def layered(generator: Generator, *, products: bool = False) -> LayeredSets:
    """Every channel of every layer, the inputs too."""
    areas = generator.areas(16)
    parts = [
        ChannelSets(generator, layer, np.eye(layer.channels, dtype=np.bool_), areas, products)
        for layer in generator.manifest.layers
    ]
    return LayeredSets(generator, tuple(parts), products)


def plans(generator: Generator) -> tuple[Plan, ...]:
    return layered(generator).candidates(generator.backends("fp32")[:1])


@pytest.mark.parametrize("sets", [1, 3, 50])
def test_each_layer_has_the_bits_of_its_own_pass_on_the_plain_path(
    generator: Generator, sets: int
) -> None:
    together = layered(generator)
    source, plan = PriorPairs(generator, 3), replace(plans(generator)[0], batch=4, sets=sets)
    found = shard_effects(together, plan, source, PAIRS, Cancellation())
    for part, rows in zip(together.parts, together.rows, strict=True):
        alone = shard_effects(part, plan, source, PAIRS, Cancellation())
        at = slice(rows.start, rows.stop)
        np.testing.assert_array_equal(found.moments.mean[at], alone.moments.mean)
        np.testing.assert_array_equal(found.moments.m2[at], alone.moments.m2)
        np.testing.assert_array_equal(found.pixel_means[:, at], alone.pixel_means)


def test_each_layer_has_the_numbers_of_its_own_pass_on_a_rewritten_path(
    generator: Generator,
) -> None:
    together, source = layered(generator), PriorPairs(generator, 3)
    plain, *rest = plans(generator)
    width = generator.manifest.image.high - generator.manifest.image.low
    expected = shard_effects(together, plain, source, PAIRS, Cancellation())
    assert len(rest) == 1
    for plan in rest:
        found = shard_effects(together, plan, source, PAIRS, Cancellation())
        np.testing.assert_allclose(
            found.moments.mean, expected.moments.mean, rtol=0, atol=TOLERANCE * width
        )


def test_products_are_between_layers_too(generator: Generator) -> None:
    together = layered(generator, products=True)
    plan, source = replace(plans(generator)[0], batch=1), PriorPairs(generator, 3)
    found = shard_effects(together, plan, source, PAIRS, Cancellation()).products
    assert found is not None
    assert found.shape == (len(together),) * 2
    for part, rows in zip(together.parts, together.rows, strict=True):
        alone = shard_effects(part, plan, source, PAIRS, Cancellation()).products
        assert alone is not None
        at = slice(rows.start, rows.stop)
        np.testing.assert_allclose(found[at, at], alone, rtol=1e-12)
    assert (found[: len(together.parts[0]), len(together.parts[0]) :] > 0).any()


def test_every_kind_of_run_is_told_with_its_number(generator: Generator) -> None:
    together = layered(generator)
    plan = replace(plans(generator)[0], sets=3)
    kinds = together.kinds(plan)
    assert len(kinds) == len(together.parts)
    for (some, count), rows in zip(kinds, together.rows, strict=True):
        assert some == rows[: min(3, len(rows))]
        assert count == -(-len(rows) // 3)


def test_an_original_is_generated_once_for_all_layers(toy_vae_bundle: Path) -> None:
    (opened,) = open_bundles([toy_vae_bundle])
    pool = ListedPool(Device.CPU, 32)
    generator = Generator(opened, pool)
    plan = plans(generator)[0]
    layered(generator).record(PriorPairs(generator, 3), PAIRS, plan, Cancellation())
    assert len({key for key in pool.asked if "upper/" in key}) == 1
    assert not [key for key in pool.asked if "upstream" in key]
