"""Groups of pairs are those of the maps that they came with, or refused."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from graftscope.server.analysis import (
    InvalidInputError,
    ShardGroups,
    require_groups_of,
    require_product_groups_of,
)

SIDE, SHARDS, FEWER = 8, 40, 6


def uneven() -> tuple[ShardGroups, npt.NDArray[np.float64]]:
    """Tiny, large and no influence, that of fewer shards, and a corrected one that nearly is none.

    Such a one is what a reduced precision makes up.
    """
    sizes = np.array([1e-9, 1e4, 0.0, 1.0, 1.0])[:, np.newaxis, np.newaxis]
    random = np.random.default_rng(0)
    shards = random.random((SHARDS, 5, SIDE, SIDE)) * sizes
    groups = ShardGroups.none(5, (SIDE, SIDE))
    for number, shard in enumerate(shards):
        groups = groups.and_then(shard, np.array([32, 32, 32, 32 * (number < FEWER), 32]))
    whole = shards.mean(axis=0)
    whole[3] = shards[:FEWER, 3].mean(axis=0)
    correction = np.zeros_like(whole)
    correction[4] = 1e-4 * random.random((SIDE, SIDE)) - whole[4]
    return groups.plus(correction), whole + correction


GROUPS, MAPS = uneven()
HUGE, NONE, UNITS = GROUPS.pairs.copy(), GROUPS.pairs.copy(), GROUPS.units.copy()
HUGE[0, 1], NONE[:, 3], UNITS[1] = 2**62, 0, -2.0
OTHERS = {
    "negated": (replace(GROUPS, means=-GROUPS.means), "map 0 by 2[0-9]{2}% of its largest value"),
    "permuted": (GROUPS.of(np.array([1, 0, 2, 3, 4])), "`maps`: their mean .* from map 0 by"),
    "scaled": (replace(GROUPS, units=1.1 * GROUPS.units), "map 0 by 10% of its largest value"),
    "of nothing": (
        GROUPS.of(np.array([0, 1, 1, 3, 4])),
        "group_maps are not .* map 2 by .* where that is 0 everywhere",
    ),
    "twice": (
        replace(GROUPS, means=np.tile(GROUPS.means, (2, 1, 1, 1)), pairs=np.tile(HUGE, (2, 1))),
        "group_pairs are of 32 groups; there are at most 16",
    ),
    "huge": (replace(GROUPS, pairs=HUGE), r"group_pairs of map 1 are 4\.61\d*e\+18 in all; 1 to"),
    "none": (replace(GROUPS, pairs=NONE), "group_pairs of map 3 are 0 in all; 1 to 10000000"),
    "minus": (replace(GROUPS, pairs=-GROUPS.pairs), "group_pairs hold -"),
    "unit": (replace(GROUPS, units=UNITS), r"group_units of map 1 is -2\.0; .* at least 0"),
    "endless": (replace(GROUPS, units=UNITS + np.inf), "group_units hold a value .* not finite"),
}


def test_groups_of_any_size_are_those_of_their_maps() -> None:
    require_groups_of(GROUPS, MAPS)


@pytest.mark.parametrize("name", OTHERS)
def test_groups_that_are_not_those_of_the_maps_are_refused(name: str) -> None:
    groups, why = OTHERS[name]
    with pytest.raises(InvalidInputError, match=why):
        require_groups_of(groups, MAPS)


def test_groups_of_products_that_are_not_those_of_the_products_are_refused() -> None:
    means = np.random.default_rng(0).random((8, 4, 4)).astype(np.float32)
    groups, whole = ShardGroups.of_products(means, np.full((8, 4), 32)), means.mean(axis=0)
    require_product_groups_of(groups, whole)
    with pytest.raises(InvalidInputError, match=r"group_products .* `products`: .* from row 0 by"):
        require_product_groups_of(groups, whole[::-1])
