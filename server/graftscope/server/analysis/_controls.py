"""Random sets of channels that a module is compared with.

Axes: C channels, R random sets. This module must not know maps or generators.
"""

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array


def as_many_channels(
    channels: int, size: int, sets: int, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Sets of a given number of a layer's channels, all of which are equally likely.

    Args:
        channels: Of the layer, C.
        size: Of each set, 1 to C.
        sets: How many, R; two of them may share channels, or be the same.
        random: What is drawn from.

    Returns:
        Shape (R, C), bool.

    Raises:
        InvalidInputError: The size is out of range.
    """
    if not 1 <= size <= channels:
        raise InvalidInputError(
            f"size = {size} is not allowed; a set has 1 to {channels} channels", "size"
        )
    members = np.zeros((sets, channels), dtype=bool)
    for each in members:
        each[random.permutation(channels)[:size]] = True
    return members


def as_much_influence(
    individual: npt.ArrayLike, influence: float, sets: int, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Sets of channels whose individual influences add up to about a given sum.

    Channels are taken in random order until one more would miss the sum by more.

    Args:
        individual: Individual influence of each channel, shape (C,), at least 0.
        influence: The sum, above 0 and at most that over all channels.
        sets: How many, R; two of them may share channels, or be the same.
        random: What is drawn from.

    Returns:
        Shape (R, C), bool; every set has at least one channel.

    Raises:
        InvalidInputError: An influence is not finite or below 0, or the sum is out of range.
    """
    each = finite_array("individual", individual, "C")
    if each.min() < 0:
        raise InvalidInputError(
            f"individual has the value {each.min()}; an influence is not negative", "individual"
        )
    # Sums of the same numbers in other orders differ in the last digits.
    if not 0 < influence <= each.sum() * (1 + 1e-6):
        raise InvalidInputError(
            f"influence = {influence} is not allowed; it is above 0 and at most that of all"
            f" channels together, {each.sum():.6g}",
            "influence",
        )
    members = np.zeros((sets, len(each)), dtype=bool)
    for row in members:
        order = random.permutation(len(each))
        misses = np.abs(np.cumsum(each[order]) - influence)
        row[order[: int(misses.argmin()) + 1]] = True
    return members
