"""Means over groups of pairs: what tells how sure modules are with respect to the pairs.

Axis letters: G groups, E sets of channels, H, W pixels.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from graftscope.client.arrays import Axes, ByValue, misfit, told
from graftscope.client.errors import InputError
from graftscope.client.values._contents import FloatArray, HalfArray, IntArray

GROUPS = ("group_maps", "group_pairs", "group_units")
"""The arrays as results, requests and files name them."""


@dataclass(frozen=True, eq=False, repr=False)
class PairGroups(ByValue):
    """Mean maps over groups of pairs that follow each other, at most 16 however many pairs.

    Args:
        maps: (G, E, H, W) float16, in the units of `units`; 0 where a group has no pairs.
        pairs: (G, E) int64, how many pairs are in each group of each set.
        units: (E,) float64, what 1 in `maps` stands for, in the image's own units.

    Raises:
        InputError: If an array has another type, or axes that do not go with the others'.
    """

    maps: Annotated[HalfArray, Axes("G E H W")]
    pairs: Annotated[IntArray, Axes("G E")]
    units: Annotated[FloatArray, Axes("E")]

    def __post_init__(self) -> None:
        """Check the arrays."""
        types = {"maps": np.float16, "pairs": np.int64, "units": np.float64}
        for name, wanted in types.items():
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != wanted:
                raise InputError(
                    f"groups: {name} {told(array)} must be an array of {np.dtype(wanted)}",
                    field="groups",
                )
        if problem := misfit(self):
            raise InputError(f"groups: {problem}", field="groups")

    def of(self, rows: slice) -> "PairGroups":
        """The groups of some sets."""
        return PairGroups(self.maps[:, rows], self.pairs[:, rows], self.units[rows])

    def request(self) -> dict[str, Any]:
        """Say it in the contract's fields."""
        return dict(zip(GROUPS, (self.maps, self.pairs, self.units), strict=True))


def checked_groups(name: str, groups: PairGroups) -> PairGroups:
    """Check that groups are some, and keep them as they are."""
    if not isinstance(groups, PairGroups):
        raise InputError(f"{name} {told(groups)} are not PairGroups(...)", field=name)
    return groups
