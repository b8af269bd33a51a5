"""Means over groups of pairs: what tells how sure modules are with respect to the pairs.

Axis letters: G groups, E sets of channels, H, W pixels.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import Axes, ByValue, finite, misfit, told
from graftscope.client.errors import InputError
from graftscope.client.values._contents import FloatArray, HalfArray, IntArray, SingleArray

GROUPS = ("group_maps", "group_pairs", "group_units")
"""The arrays as results, requests and files name them."""

GROUP_PRODUCTS = "group_products"
"""Likewise that of the products, which only some have."""

MOST_GROUPS = 16
"""Of a set, however many pairs there are."""


@dataclass(frozen=True, eq=False, repr=False)
class PairGroups(ByValue):
    """Mean maps over groups of pairs that follow each other, at most 16 however many pairs.

    Args:
        maps: (G, E, H, W) float16, in the units of `units`; 0 where a group has no pairs.
        pairs: (G, E) int64, how many pairs are in each group of each set.
        units: (E,) float64, what 1 in `maps` stands for, in the image's own units.
        products: (G, E, E) float32, means of the products of two sets' effects over the same pairs,
            for methods that group by them; None where there are none.

    Raises:
        InputError: If an array has another type, or axes that do not go with the others', or a
            number that no groups have.
    """

    maps: Annotated[HalfArray, Axes("G E H W")]
    pairs: Annotated[IntArray, Axes("G E")]
    units: Annotated[FloatArray, Axes("E")]
    products: Annotated[SingleArray | None, Axes("G E E", optional=True)] = None

    def __post_init__(self) -> None:
        """Check the arrays."""
        types = {"maps": np.float16, "pairs": np.int64, "units": np.float64}
        if self.products is not None:
            types["products"] = np.float32
        for name, wanted in types.items():
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != wanted:
                raise InputError(
                    f"groups: {name} {told(array)} must be an array of {np.dtype(wanted)}",
                    field="groups",
                )
        if problem := misfit(self):
            raise InputError(f"groups: {problem}", field="groups")
        self._check_numbers()

    def _check_numbers(self) -> None:
        if len(self.pairs) > MOST_GROUPS:
            raise InputError(
                f"group_pairs are of {len(self.pairs)} groups; there are at most {MOST_GROUPS}",
                field="groups",
            )
        not_negative("group_pairs", self.pairs, "groups")
        finite("group_units", self.units)
        not_negative("group_units", self.units, "groups")

    def require_pairs(self, pairs_of: IntArray) -> None:
        """Check that the groups of each set hold as many pairs, (E,), as its map was made from.

        Raises:
            InputError: If those of one do not.
        """
        # As floats, since large ones would overflow.
        held = self.pairs.sum(axis=0, dtype=np.float64)
        wrong = np.flatnonzero(held != pairs_of)
        if wrong.size:
            at = int(wrong[0])
            raise InputError(
                f"group_pairs of map {at} are {held[at]:.15g} in all; the map is of "
                f"{pairs_of[at]}: take both from one result",
                field="groups",
            )

    def of(self, rows: slice) -> "PairGroups":
        """The groups of some sets."""
        products = None if self.products is None else self.products[:, rows, rows]
        return PairGroups(self.maps[:, rows], self.pairs[:, rows], self.units[rows], products)

    def request(self) -> dict[str, Any]:
        """Say it in the contract's fields."""
        return {
            **dict(zip(GROUPS, (self.maps, self.pairs, self.units), strict=True)),
            GROUP_PRODUCTS: self.products,
        }


def not_negative(told_as: str, numbers: NDArray[np.number], field: str) -> None:
    """Check that no number is below 0."""
    if numbers.min(initial=0) < 0:
        raise InputError(f"{told_as} hold {numbers.min()}; none may be negative", field=field)


def checked_groups(name: str, groups: PairGroups) -> PairGroups:
    """Check that groups are some, and keep them as they are."""
    if not isinstance(groups, PairGroups):
        raise InputError(f"{name} {told(groups)} are not PairGroups(...)", field=name)
    return groups
