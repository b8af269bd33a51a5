"""Whether means over groups of pairs are those of the maps, or products, that they came with.

Whoever sends maps may send groups of other ones, of which labels would be told sure or not.

Axes: as in `_shard_groups`. This module must not know where arrays come from.
"""

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError
from graftscope.server.analysis._random_words import MAX_PAIRS
from graftscope.server.analysis._shard_groups import MOST_GROUPS, ShardGroups

_TOLERANCE = 1e-2
"""As a share of the map's largest value; float16 moves a mean by 2e-4 of it at most."""

# A correction may leave a map far below what float16 rounded: half of its last digit, where a row's
# largest value is just below 2^8 units.
_ROUNDED = 2.0**-4


def require_groups_of(groups: ShardGroups, maps: npt.NDArray[np.floating]) -> None:
    """Refuses groups of pairs that no job made, or not of these maps.

    Args:
        groups: Named `group_maps`, `group_pairs` and `group_units` by whoever gave them.
        maps: Shape (E, h, w), finite, in the image's units.

    Raises:
        InvalidInputError: A number is none that groups have, or the mean over a row's pairs is not
            its map.
    """
    _require_pairs(groups.pairs)
    for name, array in (("group_maps", groups.means), ("group_units", groups.units)):
        if not np.isfinite(array).all():
            raise InvalidInputError(f"{name} hold a value that is not finite", name)
    if groups.units.min(initial=0) < 0:
        row = int(groups.units.argmin())
        raise InvalidInputError(
            f"group_units of map {row} is {groups.units[row]}; it must be at least 0", "group_units"
        )
    for row, unit in enumerate(groups.units):
        # A correction leaves a row alone that is 0 in a reduced precision.
        if unit == 0 and not groups.means[:, row].any():
            continue
        mean = _mean(groups, row) * unit
        _require_same(("group_maps", "maps", "map"), row, mean, maps[row], _ROUNDED * unit)


def require_product_groups_of(groups: ShardGroups, products: npt.NDArray[np.floating]) -> None:
    """Likewise of products, shape (E, E), whose groups are named `group_products`."""
    name = "group_products"
    if not np.isfinite(groups.means).all():
        raise InvalidInputError(f"{name} hold a value that is not finite", name)
    for row in range(len(products)):
        mean = _mean(groups, row)[0] * groups.units[row]
        _require_same((name, "products", "row"), row, mean, products[row], 0.0)


def _require_pairs(pairs: npt.NDArray[np.int64]) -> None:
    """Refuses numbers of pairs that no job has."""
    name = "group_pairs"
    if len(pairs) > MOST_GROUPS:
        raise InvalidInputError(
            f"{name} are of {len(pairs)} groups; there are at most {MOST_GROUPS}", name
        )
    if pairs.min(initial=0) < 0:
        raise InvalidInputError(f"{name} hold {pairs.min()}; none is negative", name)
    # As floats, since large ones would overflow.
    of_row = pairs.sum(axis=0, dtype=np.float64)
    outside = np.flatnonzero((of_row < 1) | (of_row > MAX_PAIRS))
    if outside.size:
        row = int(outside[0])
        raise InvalidInputError(
            f"{name} of map {row} are {of_row[row]:.15g} in all; 1 to {MAX_PAIRS} is allowed", name
        )


def _mean(groups: ShardGroups, row: int) -> npt.NDArray[np.float64]:
    """The mean over a row's pairs, in its unit, shape (h, w)."""
    shares = groups.pairs[:, row] / groups.pairs[:, row].sum()
    return np.asarray(np.tensordot(shares, groups.means[:, row], axes=1), dtype=np.float64)


def _require_same(
    names: tuple[str, str, str],
    row: int,
    mean: npt.NDArray[np.float64],
    whole: npt.NDArray[np.floating],
    rounded: float,
) -> None:
    largest = float(np.abs(whole).max())
    differs = float(np.abs(mean - whole).max())
    if differs <= _TOLERANCE * largest + rounded:
        return
    name, of, each = names
    by = f"{differs:.3g}, where that is 0 everywhere"
    if largest:
        by = f"{differs / largest:.0%} of its largest value"
    raise InvalidInputError(
        f"{name} are not those of `{of}`: their mean over pairs differs from {each} {row} "
        f"by {by}; take both from one result",
        name,
    )
