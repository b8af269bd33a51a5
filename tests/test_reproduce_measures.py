"""Measures of pictures, labels, maps and seams are right where the truth is known."""

import itertools
import json
import math
from typing import cast

import numpy as np
import pytest

from graftscope.client.arrays import mean_of_known
from graftscope.client.reproduce import Verdict
from graftscope.client.reproduce._clustering import Clustering
from graftscope.client.reproduce._fig2b import representative
from graftscope.client.reproduce._fig6 import overlays
from graftscope.client.reproduce._measures import (
    PARTS,
    border,
    centre_ratio,
    gradient_energy,
    label_agreement,
    map_correlation,
    measured,
    module_of_parts,
    off_mixture,
    overlay,
    regions,
)
from graftscope.client.reproduce._reproduction import plain
from graftscope.client.reproduce._seams import measure_seams, seam_claim
from graftscope.client.values import (
    Execution,
    HybridResult,
    InfluenceResult,
    Method,
    ModulesResult,
    Precision,
)

ROUNDING = 1e-12
"""Of sums in another order."""

SIDE = 16
PAIRS = 6
WHOLE = np.ones((SIDE, SIDE), dtype=bool)
LEFT = np.zeros((SIDE, SIDE), dtype=bool)
LEFT[:, : SIDE // 2] = True
EXECUTION = Execution("0" * 64, Precision.FP32, "CPUExecutionProvider")


def pictures(seed: int, count: int = PAIRS, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, side, side))


# Pictures


def test_gradient_energy_is_that_of_a_slow_loop() -> None:
    images = pictures(0, 2, 5)
    slow = np.zeros((2, 5, 5))
    for pair, y, x in itertools.product(range(2), range(5), range(5)):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        there = [(v, u) for v, u in around if 0 <= v < 5 and 0 <= u < 5]
        squared = [((images[pair, :, y, x] - images[pair, :, v, u]) ** 2).mean() for v, u in there]
        slow[pair, y, x] = np.mean(squared)
    assert gradient_energy(images) == pytest.approx(slow, abs=ROUNDING)


def test_a_flat_picture_has_no_gradient() -> None:
    assert not gradient_energy(np.full((1, 3, 4, 4), 0.7)).any()


def test_a_rectangles_border_is_its_rim_and_the_pixels_that_touch_it() -> None:
    region = np.zeros((8, 9), dtype=bool)
    region[2:6, 3:7] = True
    expected = np.zeros_like(region)
    expected[1:7, 3:7] = True
    expected[2:6, 2:8] = True
    expected[3:5, 4:6] = False
    assert (border(region) == expected).all()


@pytest.mark.parametrize("value", [True, False])
def test_a_region_without_another_side_has_no_border(value: bool) -> None:
    assert not border(np.full((4, 5), value)).any()


def test_each_pixel_goes_to_the_template_that_is_largest_for_its_own_size() -> None:
    templates = np.array([[[4.0, 1.0, 1.0]], [[10.0, 20.0, 30.0]]])  # means 2 and 20
    assert regions(templates).tolist() == [[[True, False, False]], [[False, True, True]]]


def test_a_pixel_in_no_template_is_in_no_region() -> None:
    templates = np.array([[[1.0, 0.0, 0.0]], [[0.0, 0.0, 3.0]]])
    assert regions(templates).tolist() == [[[True, False, False]], [[False, False, True]]]


@pytest.mark.parametrize(
    ("weight", "what"), [(0.0, "replaced"), (0.5, "a double exposure"), (1.0, "untouched")]
)
def test_overlay_is_the_weight_of_original_1(weight: float, what: str) -> None:
    a, b = pictures(1), pictures(2)
    hybrid = weight * a + (1 - weight) * b
    assert overlay(a, b, hybrid, LEFT) == pytest.approx(np.full(PAIRS, weight), abs=ROUNDING)
    assert off_mixture(a, b, hybrid, LEFT) == pytest.approx(np.zeros(PAIRS), abs=ROUNDING)


def test_overlay_looks_at_the_region_alone() -> None:
    a, b = pictures(1), pictures(2)
    hybrid = np.where(LEFT, b, a)
    assert overlay(a, b, hybrid, LEFT) == pytest.approx(np.zeros(PAIRS), abs=ROUNDING)
    assert overlay(a, b, hybrid, ~LEFT) == pytest.approx(np.ones(PAIRS), abs=ROUNDING)


def test_what_no_mixture_gives_is_off_by_its_share_of_the_originals_difference() -> None:
    a = np.zeros((1, 1, 1, 2))
    b, hybrid = a.copy(), a.copy()
    b[..., 0] = 2.0
    hybrid[..., 0], hybrid[..., 1] = 1.0, 3.0  # half way, and 3 aside: 9 / 4
    assert off_mixture(a, b, hybrid, np.ones((1, 2), bool)) == pytest.approx([2.25])


def test_equal_originals_tell_nothing_of_overlay() -> None:
    same = pictures(1)
    assert np.isnan(overlay(same, same, same, WHOLE)).all()
    assert np.isnan(off_mixture(same, same, same, WHOLE)).all()


def test_the_mean_of_what_is_known_leaves_out_what_is_not() -> None:
    columns = np.array([[1.0, 3.0], [math.nan, 5.0], [math.nan, math.nan]])
    assert mean_of_known(columns) == pytest.approx([2.0, 5.0, math.nan], nan_ok=True)


def test_a_measure_has_the_standard_error_of_what_is_known() -> None:
    found = measured(np.array([1.0, 3.0, math.nan, 5.0]))
    assert (found.mean, found.stderr) == pytest.approx((3.0, 2 / math.sqrt(3)))
    assert math.isnan(measured(np.array([math.nan])).mean)
    assert math.isnan(measured(np.array([1.0])).stderr)


# Labels and maps


@pytest.mark.parametrize("seed", range(5))
def test_label_agreement_is_the_best_of_all_renamings(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.integers(-1, 3, 20), generator.integers(-1, 3, 20)
    counted = [(x, y) for x, y in zip(a, b, strict=True) if (x, y) != (-1, -1)]
    best = max(
        sum(x == (renaming[y] if y >= 0 else -1) for x, y in counted) / len(counted)
        for renaming in itertools.permutations(range(3))
    )
    share, renaming = label_agreement(a, b, 3)
    assert share == pytest.approx(best)
    assert share == np.mean([x == (renaming[y] if y >= 0 else -1) for x, y in counted])


def test_renamed_labels_agree_wholly_and_tell_the_renaming() -> None:
    a = np.array([0, 0, 1, 2, -1])
    assert label_agreement(a, np.array([2, 2, 0, 1, -1]), 3) == (1.0, (1, 2, 0))


def test_a_channel_in_a_module_in_one_of_both_disagrees() -> None:
    assert label_agreement(np.array([0, 1, -1]), np.array([0, -1, -1]), 2)[0] == 0.5


def test_no_channel_in_a_module_is_no_agreement() -> None:
    nowhere = np.full(3, -1)
    assert math.isnan(label_agreement(nowhere, nowhere, 2)[0])


def test_correlation_of_maps_is_pearsons() -> None:
    a, b = np.random.default_rng(0).uniform(size=(2, 3, 4, 5))
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    assert map_correlation(a, b) == pytest.approx(expected)
    assert map_correlation(a, 2 * a + 1) == pytest.approx(np.ones(3))
    assert map_correlation(a, -a) == pytest.approx(-np.ones(3))


def test_a_flat_map_correlates_with_nothing() -> None:
    assert np.isnan(map_correlation(np.ones((1, 4, 4)), pictures(0, 1, 4)[:, 0]))


def test_the_centres_ratio_is_that_of_the_maps_that_were_made() -> None:
    # Half of 64 x 64 is a square of 45.3; to the pixel, 9 on each side stay outside.
    inside = np.zeros((64, 64), dtype=bool)
    inside[9:55, 9:55] = True
    maps = np.stack([np.ones((64, 64)), np.where(inside, 3.0, 2.0), 1.0 * ~inside, 1.0 * inside])
    assert centre_ratio(maps) == pytest.approx([1.0, 1.5, 0.0, math.nan], nan_ok=True)


def test_shown_are_the_strongest_map_and_those_least_like_it() -> None:
    maps = np.zeros((4, 1, 3))
    maps[0, 0] = (1.0, 0.1, 0.0)
    maps[1, 0] = (5.0, 0.0, 0.0)  # the strongest
    maps[2, 0] = (1.0, 1.0, 0.0)
    maps[3, 0] = (0.0, 0.0, 1.0)  # nothing in common with it
    assert representative(maps, 3).tolist() == [1, 3, 2]
    assert representative(maps, 9).tolist() == [1, 3, 2, 0]


def test_channels_that_do_nothing_are_shown_last() -> None:
    maps = np.zeros((3, 1, 2))
    maps[1, 0] = (1.0, 0.0)
    maps[2, 0] = (1.0, 0.1)
    assert representative(maps, 3).tolist() == [2, 1, 0]


def test_a_part_of_the_face_belongs_to_the_module_that_paints_it() -> None:
    templates = np.full((3, 64, 64), 0.01)
    owners = {"eyes": 0, "mouth": 0, "top of the head": 0, "cheeks and nose": 1, "sides": 2}
    for name, ((top, bottom), (left, right)) in PARTS.items():
        rows, columns = (
            slice(round(64 * a), round(64 * b)) for a, b in ((top, bottom), (left, right))
        )
        templates[owners[name], rows, columns] = 1.0
    found = module_of_parts(templates)
    assert {name: part["module"] for name, part in found.items()} == owners
    sides = cast("np.ndarray", found["sides"]["strength"])
    assert sides[2] > 1 > sides[0]


# Seams


def clustering(original1: np.ndarray, original2: np.ndarray, hybrid: np.ndarray) -> Clustering:
    """Two modules of a channel each: the left half and the right half of the image."""
    labels, templates = np.array([0, 1]), np.stack([LEFT, ~LEFT]).astype(np.float64)
    maps = InfluenceResult(
        maps=templates,
        stderr=np.zeros_like(templates),
        individual=np.full(2, 0.5),
        individual_stderr=np.zeros(2),
        channels=np.arange(2),
        range_width=2.0,
        pairs=PAIRS,
        distinct_images=0,
        originals="prior",
        model="toy",
        layer="conv",
        operation="operations/1",
        execution=EXECUTION,
    )
    modules = ModulesResult(
        labels=labels,
        templates=templates,
        weights=np.eye(2),
        purity=np.ones(2),
        seeds=(0,),
        seed_labels=labels[None],
        seed_templates=templates[None],
        agreement=np.ones(1),
        cosine=np.ones(1),
        seeds_agreeing=1,
        method=Method.NMF,
        operation="operations/2",
        probabilities=np.eye(2),
    )
    images = [each.astype(np.float32) for each in (original1, original2, hybrid)]
    made = HybridResult(images[0], images[1], images[2], 0, EXECUTION)
    return Clustering("intermediate", maps, modules, maps, (made, made))


def smooth(seed: int) -> np.ndarray:
    """Pictures with a gentle slope, each of its own."""
    slopes = np.random.default_rng(seed).uniform(0.02, 0.04, (PAIRS, 3, 1, 1))
    return np.broadcast_to(slopes * np.arange(SIDE), (PAIRS, 3, SIDE, SIDE))


BLACK, WHITE = smooth(3) - 1, smooth(4) + 0.4


def test_a_pasted_seam_is_found() -> None:
    torn = np.where(LEFT, WHITE, BLACK)
    found = measure_seams(clustering(BLACK, WHITE, torn))
    assert found[0].border_pixels == 2 * SIDE
    assert found[0].low > 100
    assert found[0].ratio == pytest.approx(found[0].pasted_ratio, rel=1e-6)
    assert seam_claim(found, "4.1").verdict is Verdict.DIFFERS


def test_a_smooth_hybrid_has_no_seam() -> None:
    hybrid = (BLACK + WHITE) / 2
    found = measure_seams(clustering(BLACK, WHITE, hybrid))
    assert [each.module for each in found] == [0, 1]
    assert all(each.low <= each.ratio <= each.high < 1.1 < each.pasted_ratio for each in found)
    assert seam_claim(found, "4.1").verdict is Verdict.AGREES


def test_no_border_decides_nothing() -> None:
    assert seam_claim([], "4.1").verdict is Verdict.UNDECIDED


def test_overlay_of_a_clustering_is_the_mean_over_its_modules() -> None:
    both = clustering(BLACK, WHITE, np.where(LEFT, WHITE, BLACK))
    # The one hybrid stands for both modules: replaced in the first one's half, not in the other's.
    assert overlays(both) == pytest.approx(np.full(PAIRS, 0.5))


def test_a_pair_of_one_image_twice_is_left_out_of_the_overlay() -> None:
    second = WHITE.copy()
    second[0] = BLACK[0]
    found = overlays(clustering(BLACK, second, second))
    assert np.isnan(found).tolist() == [True] + [False] * (PAIRS - 1)
    assert measured(found).mean == pytest.approx(0.0, abs=1e-6)


# Numbers as JSON


def test_numbers_become_plain_and_what_is_not_finite_null() -> None:
    value = {
        "array": np.array([[1.0, math.nan], [math.inf, -2.5]]),
        "scalars": (np.float64(math.nan), np.int64(3), np.bool_(True), math.inf),
        1: {"text": "a", "none": None, "verdict": Verdict.AGREES},
    }
    found = json.loads(json.dumps(plain(value), allow_nan=False))
    assert found == {
        "array": [[1.0, None], [None, -2.5]],
        "scalars": [None, 3, True, None],
        "1": {"text": "a", "none": None, "verdict": "agrees"},
    }
