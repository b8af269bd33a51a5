"""Stability: thirds, chance and the suggested number of modules are what they are said to be."""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import permutations
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from graftscope.server.analysis import (
    InvalidInputError,
    KTooLargeError,
    Method,
    Modules,
    agreement,
    cell_count,
    features_of,
    find_modules,
    stability,
)
from graftscope.server.analysis._splits import Split, compare, random_split, smallest_run
from graftscope.server.analysis._stability import Stability, suggest_k

Array = npt.NDArray[np.float64]
_Item = TypeVar("_Item")
_Value = TypeVar("_Value")

SIDE = 16
# Means of 50 permutations in each of some thousand repeats.
CHANCE_TOLERANCE = 0.01


def noise(channels: int = 18, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((channels, SIDE, SIDE))


def blocks(groups: int, channels_per_group: int = 6) -> Array:
    """Maps of groups that each fill a stripe of their own, almost alike within a group."""
    maps = np.random.default_rng(0).uniform(0.0, 0.1, (groups * channels_per_group, SIDE, SIDE))
    width = SIDE // groups
    for channel in range(len(maps)):
        start = width * (channel % groups)
        maps[channel, :, start : start + width] += 1.0
    return maps


def modules_with(labels: list[int], k: int, templates: Array | None = None) -> Modules:
    """Modules of these labels, with templates that have nothing in common unless given."""
    found = find_modules(features_of(blocks(2)), 2, Method.KMEANS)
    apart = np.eye(k).reshape(k, 1, k)
    return replace(
        found,
        labels=np.array(labels, dtype=np.int64),
        templates=apart if templates is None else templates,
    )


def whole_split(channels: int, repeat: int = 0, orders: int = 50) -> Split:
    """A split whose two runs see the same channels, all of them shared."""
    everything = np.arange(channels)
    random = np.random.default_rng(repeat)
    return Split(
        everything,
        everything,
        everything,
        (0, 0),
        np.stack([random.permutation(channels) for _ in range(orders)]),
    )


def same(one: Stability, other: Stability) -> bool:
    names = ("ks", "consistency", "cosine", "chance")
    return one.suggested == other.suggested and all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in names
    )


@pytest.mark.parametrize("channels", range(3, 32))
def test_thirds_differ_by_at_most_one_and_the_shared_one_is_in_both_runs(channels: int) -> None:
    for repeat in range(5):
        split = random_split(channels, 0, repeat, 4)
        first, second, shared = (set(x.tolist()) for x in (split.first, split.second, split.shared))
        thirds = [first - shared, shared, second - shared]
        assert first & second == shared
        assert first | second == set(range(channels))
        sizes = [len(third) for third in thirds]
        assert sum(sizes) == channels
        assert max(sizes) - min(sizes) <= 1
        assert smallest_run(channels) == min(len(first), len(second))
        for order in split.permutations:
            assert sorted(order) == list(range(len(shared)))


def test_every_channel_is_shared_about_as_often() -> None:
    shared = np.concatenate([random_split(12, 0, r, 1).shared for r in range(600)])
    counts = np.bincount(shared, minlength=12)
    # 200 expected, with a standard deviation of 11.5.
    assert np.abs(counts - 200).max() < 5 * 11.5


def test_partitions_depend_on_the_seed_and_the_repeat_alone() -> None:
    drawn = {
        (seed, repeat): random_split(30, seed, repeat, 2).first.tobytes()
        for seed in range(3)
        for repeat in range(3)
    }
    assert len(set(drawn.values())) == 9
    assert random_split(30, 1, 2, 2).first.tobytes() == drawn[1, 2]


def test_the_seed_decides_and_further_repeats_change_none_of_the_first() -> None:
    maps = noise()
    few, many, again, other = (
        stability(features_of(maps), [2, 4], repeats=repeats, seed=seed)
        for repeats, seed in ((3, 0), (6, 0), (3, 0), (3, 1))
    )
    assert same(few, again)
    assert not same(few, other)
    np.testing.assert_array_equal(few.consistency, many.consistency[..., :3])
    np.testing.assert_array_equal(few.cosine, many.cosine[..., :3])


def test_every_number_of_modules_sees_the_same_thirds() -> None:
    maps = noise()
    together = stability(features_of(maps), [2, 3, 4], repeats=3)
    for i, k in enumerate((2, 3, 4)):
        alone = stability(features_of(maps), [k], repeats=3)
        np.testing.assert_array_equal(alone.consistency[:, 0], together.consistency[:, i])


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_comparisons_side_by_side_give_what_one_after_the_other_gives(workers: int) -> None:
    maps = noise()
    with ThreadPoolExecutor(workers) as executor:
        beside = stability(features_of(maps), [2, 3], repeats=4, each=executor.map)
    assert same(beside, stability(features_of(maps), [2, 3], repeats=4))


def test_consistency_equals_a_slow_computation_by_trying_every_renaming() -> None:
    maps = noise(seed=3)
    k, repeats = 3, 4
    found = stability(features_of(maps), [k], [Method.KMEANS], repeats, seed=7)
    for repeat in range(repeats):
        split = random_split(len(maps), 7, repeat, 1)
        a, b = (
            find_modules(features_of(maps[run]), k, Method.KMEANS, seed)
            for run, seed in zip((split.first, split.second), split.seeds, strict=True)
        )
        labels_a = dict(zip(split.first.tolist(), a.labels.tolist(), strict=True))
        labels_b = dict(zip(split.second.tolist(), b.labels.tolist(), strict=True))
        best = max(
            sum(labels_a[c] == names[labels_b[c]] for c in split.shared.tolist())
            for names in permutations(range(k))
        )
        assert found.consistency[0, 0, repeat] == best / len(split.shared)


def test_equal_labels_under_other_names_are_consistent_and_their_templates_alike() -> None:
    a = modules_with([0, 0, 1, 1, 2, 2], 3)
    b = modules_with([2, 2, 0, 0, 1, 1], 3, a.templates[[1, 2, 0]])
    consistency, cosine, _ = compare(whole_split(6), a, b)
    assert (consistency, cosine) == (1.0, 1.0)


def test_modules_without_a_shared_channel_are_matched_by_their_templates() -> None:
    a = modules_with([0, 0, 0, 0], 3)
    b = modules_with([1, 1, 1, 1], 3, a.templates[[2, 0, 1]])
    consistency, cosine, _ = compare(whole_split(4), a, b)
    assert (consistency, cosine) == (1.0, 1.0)


def test_templates_never_outweigh_a_channel() -> None:
    a = modules_with([0, 0, 1], 2)
    # By templates alone the modules would keep their numbers.
    b = modules_with([1, 1, 0], 2, a.templates)
    consistency, cosine, _ = compare(whole_split(3), a, b)
    assert (consistency, cosine) == (1.0, 0.0)


def test_chance_is_the_mean_agreement_of_all_orders_of_the_labels() -> None:
    labels_a, labels_b = [0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 2, 2]
    every_order = [agreement(labels_a, list(order)) for order in permutations(labels_b)]
    a, b = modules_with(labels_a, 3), modules_with(labels_b, 3)
    chances = [compare(whole_split(6, repeat), a, b)[2] for repeat in range(60)]
    assert np.mean(chances) == pytest.approx(np.mean(every_order), abs=CHANCE_TOLERANCE)


def test_noise_is_no_more_consistent_than_chance() -> None:
    found = stability(features_of(noise(36)), [2, 4], [Method.KMEANS], repeats=20)
    excess = found.consistency[0].mean(axis=1) - found.chance[0]
    assert np.abs(excess).max() < 0.15


@pytest.mark.parametrize("method", [Method.NMF, Method.KMEANS])
@pytest.mark.parametrize("groups", [2, 4])
def test_the_number_of_clear_groups_is_suggested(method: Method, groups: int) -> None:
    found = stability(features_of(blocks(groups, 6)), range(2, 7), [method], 8)
    (suggested,) = found.suggested
    assert suggested.k == groups, suggested.reason
    assert suggested.consistency == 1.0
    assert suggested.chance < 1.0
    i = found.ks.tolist().index(groups)
    np.testing.assert_array_equal(found.consistency[0, i], 1.0)
    assert suggested.chance == pytest.approx(found.chance[0, i])


def test_flat_maps_take_no_part() -> None:
    maps = blocks(3)
    flat = np.insert(maps, [0, 5, 9], 0.5, axis=0)
    assert same(
        stability(features_of(flat), [2, 3], repeats=3),
        stability(features_of(maps), [2, 3], repeats=3),
    )
    assert stability(features_of(flat), [2], repeats=1).channels == 18


def test_of_equal_numbers_the_smallest_is_suggested_and_the_others_are_named() -> None:
    level, chance = np.full((3, 4), 0.9), np.full((3, 4), 0.5)
    suggested = suggest_k(Method.NMF, [2, 3, 4], level, chance)
    assert (suggested.k, suggested.rivals, suggested.excess_stderr) == (2, (3, 4), 0.0)
    assert suggested.reason == (
        "K = 2: 0.90 of the labels agree where chance gives 0.50; the excess of 0.40 (standard "
        "error 0.00) is the largest of K = 2 to 4, but K = 3, 4 cannot be told from it (less than "
        "two standard errors below)"
    )


def test_no_number_is_suggested_where_none_exceeds_chance() -> None:
    level = np.full((2, 4), 0.5)
    suggested = suggest_k(Method.NMF, [2, 3], level, level + 0.1)
    assert (suggested.k, suggested.rivals) == (0, ())
    assert suggested.reason.endswith("consistency exceeds chance at no K of 2 to 3")


def test_the_excess_over_chance_decides_and_not_the_consistency() -> None:
    level = np.array([[0.95, 0.95], [0.9, 0.9]])
    chance = np.array([[0.7, 0.7], [0.5, 0.5]])
    suggested = suggest_k(Method.KMEANS, [2, 3], level, chance)
    assert (suggested.k, suggested.rivals) == (3, ())
    assert (suggested.consistency, suggested.chance) == (0.9, 0.5)


def test_a_rival_is_behind_by_no_more_than_the_error_of_the_paired_difference() -> None:
    spread = np.array([0.0, 0.2, 0.0, 0.2])
    chance = np.zeros((3, 4))
    # Both swing together with the best one or against it: only the second's difference does.
    level = np.stack([0.8 + spread, 0.75 + spread, 0.75 + spread[::-1]])
    assert suggest_k(Method.NMF, [2, 3, 4], level, chance).rivals == (4,)


def test_one_repeat_has_no_error_and_the_reason_tells_none() -> None:
    suggested = suggest_k(Method.NMF, [2], np.array([[0.9]]), np.array([[0.5]]))
    assert suggested.k == 2
    assert math.isnan(suggested.excess_stderr)
    assert "error" not in suggested.reason
    assert "nan" not in suggested.reason


def test_a_repeat_that_does_not_settle_is_nan_and_the_others_count() -> None:
    # Three different maps among twelve, two of them once: some runs see two kinds alone.
    maps = np.repeat(blocks(3, 1), [10, 1, 1], axis=0)
    found = stability(features_of(maps), [2, 3], [Method.KMEANS], repeats=12)
    missing = np.isnan(found.consistency[0])
    assert missing[1].any()
    np.testing.assert_array_equal(missing, np.isnan(found.cosine[0]))
    assert not missing[0].all()
    whole = found.consistency[0, 0][~missing[0]]
    assert found.suggested[0].k == 2
    assert found.suggested[0].consistency == pytest.approx(whole.mean())


def test_where_nothing_settles_no_number_is_suggested() -> None:
    alike = np.repeat(blocks(2, 1)[:1], 9, axis=0)
    found = stability(features_of(alike), [2, 3], [Method.KMEANS], repeats=2)
    (suggested,) = found.suggested
    assert np.isnan(found.consistency).all()
    assert np.isnan(found.chance).all()
    assert suggested.k == 0
    assert suggested.reason == "no number of modules: no run of kmeans settled"


@pytest.mark.parametrize(("ks", "numbers"), [(None, 9), ([2, 5], 2), ([], 9)])
def test_comparisons_are_as_many_as_were_told(ks: list[int] | None, numbers: int) -> None:
    made: list[object] = []

    def each(work: Callable[[_Item], _Value], items: Iterable[_Item], /) -> Iterable[_Value]:
        for item in items:
            made.append(item)
            yield work(item)

    found = stability(features_of(noise()), ks, repeats=2, each=each)
    assert len(found.ks) == numbers
    assert len(made) == cell_count(18, ks, 2, 2) == 2 * numbers * 2


def test_without_numbers_those_that_fit_a_run_are_tried() -> None:
    found = stability(features_of(noise(9)), repeats=1)
    assert found.ks.tolist() == [2, 3, 4, 5, 6]
    assert found.ks.dtype == np.int64


@pytest.mark.parametrize("outside", [1, 13])
def test_a_number_of_modules_that_a_run_cannot_have_is_refused(outside: int) -> None:
    said = rf"k = {outside} is not allowed; a run sees 12 of the 18 .* so K is 2 to 12"
    with pytest.raises(KTooLargeError, match=said):
        stability(features_of(noise()), [2, outside])


def test_fewer_than_three_maps_cannot_be_cut_into_thirds() -> None:
    maps = np.concatenate([noise(2), np.zeros((4, SIDE, SIDE))])
    with pytest.raises(KTooLargeError, match=r"2 influence maps .* at least 3 are needed"):
        stability(features_of(maps))
    assert stability(features_of(noise(3)), repeats=1).ks.tolist() == [2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": []}, "at least one, all different"),
        ({"methods": [Method.NMF, Method.NMF]}, "at least one, all different"),
        ({"repeats": 0}, "repeats = 0 is not allowed"),
        ({"seed": -1}, "seed = -1 is not allowed"),
        ({"seed": 2**32}, "seed = 4294967296 is not allowed"),
        ({"ks": [2, 2]}, "at least one, all different"),
        ({"methods": [Method.PCA], "ks": [2]}, "pca needs products"),
    ],
)
def test_malformed_arguments_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        stability(features_of(noise()), **changes)  # type: ignore[arg-type]


def test_maps_of_noise_exceed_permuted_labels_by_about_a_tenth() -> None:
    # Both runs see the same maps of the shared third: documented, so that nobody takes it for more.
    excess = []
    for seed in range(3):
        found = stability(
            features_of(np.random.default_rng(seed).random((48, 16, 16))), [3], repeats=8
        )
        excess.append(found.consistency.mean(axis=2) - found.chance)
    assert 0.03 < np.mean(excess) < 0.2
