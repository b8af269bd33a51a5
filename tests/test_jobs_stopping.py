"""When a stopping rule holds: known effects and known labels in, the decision out."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from graftscope.server.analysis import MapMoments, Method, features_of, find_modules
from graftscope.server.engine import SHARD_PAIRS
from graftscope.server.jobs import (
    LEAST_STABLE_PAIRS,
    StableLabelsSpec,
    Sums,
)
from graftscope.server.jobs._checkpoints import Looks
from graftscope.server.jobs._stopping import (
    LEAST_PAIRS,
    ErrorRule,
    LabelRule,
    is_scheduled,
    label_agreement,
    last_half,
    relative_error,
)

MAX_PAIRS = 20 * SHARD_PAIRS
STABLE = StableLabelsSpec(k=2, method="nmf", seed=0, window=1, percentile=50.0)
ONE_LAYER = (range(4),)


def sums_of(effects: NDArray[np.float64], looks: Looks | None = None) -> Sums:
    """The sums of every pair's own effect, (B, E), on maps of one pixel."""
    parts = [effects[i : i + SHARD_PAIRS] for i in range(0, len(effects), SHARD_PAIRS)]
    moments = MapMoments.from_pixel_means(parts[0])
    for part in parts[1:]:
        moments = moments.merge(MapMoments.from_pixel_means(part))
    return Sums(len(parts), moments, moments, looks=looks)


def slow_relative_error(effects: NDArray[np.float64]) -> float:
    """One set after another, from every pair."""
    errors = []
    for one in effects.T:
        if one.any():
            errors.append(float(np.std(one, ddof=1)) / math.sqrt(len(one)) / float(np.mean(one)))
    return max(errors)


def looks(*rows: list[int]) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64)


def test_the_relative_error_is_that_of_the_worst_set() -> None:
    effects = np.random.default_rng(0).gamma(2.0, [[1.0, 0.1, 5.0]], (96, 3))
    assert relative_error(sums_of(effects).individual) == pytest.approx(
        slow_relative_error(effects), rel=1e-12
    )


def test_a_set_without_influence_has_no_relative_error() -> None:
    effects = np.random.default_rng(0).gamma(2.0, 1.0, (96, 2))
    flat = np.hstack([effects, np.zeros((96, 1))])
    assert relative_error(sums_of(flat).individual) == relative_error(sums_of(effects).individual)


def test_where_nothing_has_influence_the_error_is_never_met() -> None:
    sums = sums_of(np.zeros((96, 2)))
    assert math.isnan(relative_error(sums.individual))
    rule = ErrorRule(0.99, MAX_PAIRS)
    assert not rule.holds(sums)
    assert rule.expected_pairs(sums) == MAX_PAIRS


@pytest.mark.parametrize("error", [0.3, 0.1, 0.08, 0.05])
def test_the_error_rule_holds_first_where_a_slow_loop_says(error: float) -> None:
    effects = np.random.default_rng(1).gamma(2.0, [[1.0, 0.1, 5.0]], (MAX_PAIRS, 3))
    rule = ErrorRule(error, MAX_PAIRS)
    shards = range(1, MAX_PAIRS // SHARD_PAIRS + 1)
    found = next(n for n in shards if rule.holds(sums_of(effects[: n * SHARD_PAIRS])))
    expected = next(
        pairs
        for pairs in range(LEAST_PAIRS, MAX_PAIRS + 1, SHARD_PAIRS)
        if slow_relative_error(effects[:pairs]) <= error
    )
    assert found * SHARD_PAIRS == expected


def test_few_pairs_are_not_believed() -> None:
    same = np.ones((SHARD_PAIRS, 2))
    assert not ErrorRule(0.5, MAX_PAIRS).holds(sums_of(same))
    assert ErrorRule(0.5, MAX_PAIRS).holds(sums_of(np.vstack([same, same])))


def test_the_error_foretells_how_many_pairs_are_needed() -> None:
    effects = np.random.default_rng(2).gamma(2.0, 1.0, (320, 1))
    sums = sums_of(effects)
    now = relative_error(sums.individual)
    assert ErrorRule(now / 1.2, 10_000).expected_pairs(sums) == pytest.approx(320 * 1.44, abs=1)
    assert ErrorRule(now / 100, 10_000).expected_pairs(sums) == 10_000


def test_labels_are_looked_at_often_and_then_ever_more_rarely() -> None:
    found = [shards for shards in range(1, 60) if is_scheduled(shards)]
    assert found == [*range(1, 9), 10, 13, 17, 22, 28, 35, 44, 55]


@given(st.integers(LEAST_STABLE_PAIRS // SHARD_PAIRS, 5000))
def test_any_last_half_has_at_least_three_looks(shards: int) -> None:
    first = LEAST_PAIRS // SHARD_PAIRS
    seen = [n for n in range(first, shards + 1) if is_scheduled(n) or n == shards]
    rows = looks(*([n] for n in seen))
    pairs = np.array(seen) * SHARD_PAIRS
    half = last_half(Looks(pairs.astype(np.int64), rows))
    assert half is not None
    assert 2 * half[0, 0] <= shards
    assert len(half) >= 3


def test_the_last_half_begins_at_a_look_or_before_it() -> None:
    pairs = np.array([64, 96, 128, 160], np.int64)
    rows = looks([0], [1], [2], [3])
    found = last_half(Looks(pairs, rows))
    assert found is not None
    assert found.ravel().tolist() == [0, 1, 2, 3]  # 80 lies between the first two
    assert last_half(Looks(pairs[:2], rows[:2])) is None
    assert last_half(Looks.none(1)) is None


@pytest.mark.parametrize(
    ("rows", "agreement"),
    [
        ([[0, 0, 1, 1]] * 3, 1.0),
        # Other numbers for the same modules.
        ([[1, 1, 0, 0], [0, 0, 1, 1]], 1.0),
        # One channel went over, in the middle alone.
        ([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]], 0.75),
        # A flat map says nothing, one that was flat once does.
        ([[0, -1, 1, 1], [0, -1, 1, 1]], 1.0),
        ([[0, -1, 1, 1], [0, 0, 1, 1]], 0.75),
        # No modules were found.
        ([[-1] * 4, [0, 0, 1, 1]], 0.0),
        ([[-1] * 4] * 2, 0.0),
    ],
)
def test_agreement_is_the_share_of_channels_that_stay(
    rows: list[list[int]], agreement: float
) -> None:
    assert label_agreement(looks(*rows), ONE_LAYER, 2) == agreement


def test_every_layer_is_matched_by_itself() -> None:
    rows = looks([0, 1, 0, 1], [1, 0, 0, 1])
    assert label_agreement(rows, (range(2), range(2, 4)), 2) == 1.0
    assert label_agreement(rows, ONE_LAYER, 2) == 0.5


def test_too_few_looks_are_no_agreement() -> None:
    assert math.isnan(label_agreement(None, ONE_LAYER, 2))


def map_sums(maps: NDArray[np.float64], shards: int, seen: Looks | None = None) -> Sums:
    """Sums whose mean is `maps`, after so many whole shards."""
    count = np.full(len(maps), shards * SHARD_PAIRS)
    individual = maps.mean(axis=(1, 2), keepdims=True)
    moments = MapMoments(count, maps, np.zeros_like(maps))
    return Sums(shards, moments, MapMoments(count, individual, 0 * individual), looks=seen)


def halves(noise: float = 0.0) -> NDArray[np.float64]:
    """Channels 0 and 1 act above, 2 and 3 below."""
    maps = np.zeros((4, 8, 8))
    maps[:2, :4], maps[2:, 4:] = 1.0, 1.0
    return maps + noise * np.random.default_rng(3).random(maps.shape)


def test_labels_that_are_known_from_the_first_look_on_end_a_job_at_once() -> None:
    rule, seen = LabelRule(STABLE, ONE_LAYER, MAX_PAIRS), None
    for shards in range(1, 10):
        sums = map_sums(halves(0.01), shards, seen)
        sums = rule.look(sums) if rule.is_look(sums) else sums
        seen = sums.looks
        if rule.holds(sums):
            break
    assert sums.pairs == LEAST_STABLE_PAIRS
    assert rule.verdict(sums).label_agreement == 1.0


def test_a_look_finds_the_modules_of_the_maps() -> None:
    maps = halves(0.01)
    seen = LabelRule(STABLE, ONE_LAYER, MAX_PAIRS).look(map_sums(maps, 3)).looks
    assert seen is not None
    expected = find_modules(features_of(maps, 1, 50.0), 2, Method.NMF, 0).labels
    assert seen.labels.tolist() == [expected.tolist()]
    assert seen.pairs.tolist() == [3 * SHARD_PAIRS]


def test_modules_that_cannot_be_found_yet_are_no_agreement() -> None:
    rule, sums = LabelRule(STABLE, ONE_LAYER, MAX_PAIRS), map_sums(np.zeros((4, 8, 8)), 2)
    for shards in (2, 3, 4):
        sums = rule.look(map_sums(np.zeros((4, 8, 8)), shards, sums.looks))
    assert not rule.holds(sums)
    assert rule.verdict(sums).label_agreement == 0.0


def test_between_two_looks_nothing_is_decided() -> None:
    rule = LabelRule(STABLE, ONE_LAYER, MAX_PAIRS)
    seen = None
    for shards in (2, 3, 4):
        seen = rule.look(map_sums(halves(), shards, seen)).looks
    assert rule.holds(map_sums(halves(), 4, seen))
    assert not rule.holds(map_sums(halves(), 5, seen))


def test_the_end_is_always_looked_at() -> None:
    rule = LabelRule(STABLE, ONE_LAYER, 9 * SHARD_PAIRS)
    assert rule.is_look(map_sums(halves(), 9))
    assert not replace(rule, max_pairs=MAX_PAIRS).is_look(map_sums(halves(), 9))
