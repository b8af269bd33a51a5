"""The latents of numbered pairs: what a generator's inputs are, for any pair, in any order.

Every function takes a seed, the pairs' indices, which of the pair's two originals is meant, and
the name of the generator's input; its row for a pair depends on these alone. The two originals of
a pair, and the inputs of a generator, are independent (section 3.2). Pairs are independent of each
other unless they are stratified: then each by itself is distributed as ever, and the 32 pairs of a
group, 32 g to 32 g + 31, take another 32nd of the distribution each, in every dimension of every
input of either original.

Axes: B pairs, Z an input's flattened size. This module must not know generators or files.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from graftscope.server.analysis._checks import require_between
from graftscope.server.analysis._errors import InvalidInputError
from graftscope.server.analysis._philox import (
    Pairs,
    Which,
    bounded_integers,
    open_uniforms,
    raw_words,
    stream_key,
)
from graftscope.server.analysis._strata import stratified_words

# Hashed into every key. A change of the arithmetic gets a new number, never the same pairs' name.
LATENT_DOMAIN = "graftscope/latents/1"
IMAGE_DOMAIN = "graftscope/images/1"
STORED_DOMAIN = "graftscope/stored/1"

MAX_CHOICES = 2**32 - 1


def standard_normal(
    seed: int,
    pairs: Pairs,
    which: Which,
    name: str,
    shape: tuple[int, ...],
    *,
    stratified: bool = False,
) -> npt.NDArray[np.float32]:
    """Draws independent standard normals.

    Args:
        seed: From 0 to 2^63 - 1.
        pairs: Indices of the pairs, counted from 0.
        which: 1 or 2, the original of the pair.
        name: The generator's input.
        shape: Shape of one sample of that input, without the batch.
        stratified: Whether pairs are spread evenly.

    Returns:
        Shape (B, *shape), float32.

    Raises:
        InvalidInputError: An argument is out of range.
    """
    drawn = standard_normal64(seed, pairs, which, name, shape, stratified=stratified)
    return drawn.astype(np.float32)


def truncated_normal(
    seed: int,
    pairs: Pairs,
    which: Which,
    name: str,
    shape: tuple[int, ...],
    threshold: float,
    *,
    stratified: bool = False,
) -> npt.NDArray[np.float32]:
    """Draws independent standard normals given that they lie within +-threshold.

    By the inverse distribution function of the truncated normal, from the words that
    `standard_normal` turns into its own draws.

    Args:
        seed: From 0 to 2^63 - 1.
        pairs: Indices of the pairs, counted from 0.
        which: 1 or 2, the original of the pair.
        name: The generator's input.
        shape: Shape of one sample of that input, without the batch.
        threshold: Above 0, finite.
        stratified: Whether pairs are spread evenly.

    Returns:
        Shape (B, *shape), float32.

    Raises:
        InvalidInputError: An argument is out of range.
    """
    # Written so that NaN is refused too.
    if not 0 < threshold < math.inf:
        raise InvalidInputError(
            f"threshold = {threshold} is not allowed; it is above 0 and finite", "threshold"
        )
    below = ndtr(-threshold)
    unit = _uniforms(seed, pairs, which, name, shape, stratified)
    inside = below + (1 - 2 * below) * unit
    return np.clip(ndtri(inside), -threshold, threshold).astype(np.float32)


def uniform(
    seed: int,
    pairs: Pairs,
    which: Which,
    name: str,
    shape: tuple[int, ...],
    low: float = -1.0,
    high: float = 1.0,
    *,
    stratified: bool = False,
) -> npt.NDArray[np.float32]:
    """Draws independent uniforms on [low, high].

    Args:
        seed: From 0 to 2^63 - 1.
        pairs: Indices of the pairs, counted from 0.
        which: 1 or 2, the original of the pair.
        name: The generator's input.
        shape: Shape of one sample of that input, without the batch.
        low: Lower end.
        high: Upper end, above `low`.
        stratified: Whether pairs are spread evenly.

    Returns:
        Shape (B, *shape), float32; rounding to float32 can reach either end.

    Raises:
        InvalidInputError: An argument is out of range.
    """
    # Written so that NaN is refused too.
    if not (low < high and math.isfinite(low) and math.isfinite(high)):
        raise InvalidInputError(
            f"low = {low} and high = {high} are not allowed; low is below high, both finite", "low"
        )
    unit = _uniforms(seed, pairs, which, name, shape, stratified)
    return (low + (high - low) * unit).astype(np.float32)


def class_labels(
    seed: int, pairs: Pairs, which: Which, name: str, classes: int, *, stratified: bool = False
) -> npt.NDArray[np.int64]:
    """Draws classes with equal probability.

    Args:
        seed: From 0 to 2^63 - 1.
        pairs: Indices of the pairs, counted from 0.
        which: 1 or 2, the original of the pair.
        name: The generator's input.
        classes: How many classes there are, from 1 to 2^32 - 1.
        stratified: Whether pairs are spread evenly.

    Returns:
        Shape (B,), int64, from 0 to classes - 1.

    Raises:
        InvalidInputError: An argument is out of range.
    """
    require_between("classes", classes, 1, MAX_CHOICES)
    return _choices(LATENT_DOMAIN, seed, pairs, which, name, classes, stratified)


def image_indices(
    seed: int, pairs: Pairs, which: Which, number_of_images: int
) -> npt.NDArray[np.int64]:
    """Draws real images to encode, independently and with replacement.

    Args:
        seed: From 0 to 2^63 - 1.
        pairs: Indices of the pairs, counted from 0.
        which: 1 or 2, the original of the pair.
        number_of_images: How many there are to draw from, from 1 to 2^32 - 1.

    Returns:
        Shape (B,), int64, from 0 to number_of_images - 1.

    Raises:
        InvalidInputError: An argument is out of range.
    """
    require_between("number_of_images", number_of_images, 1, MAX_CHOICES)
    return _choices(IMAGE_DOMAIN, seed, pairs, which, "", number_of_images, False)


def stored_rows(
    seed: int, pairs: Pairs, which: Which, file: str, count: int, *, stratified: bool = False
) -> npt.NDArray[np.int64]:
    """Draws rows of a file of stored latents, independently and with replacement.

    The file's name is what is hashed, so that inputs of one file take the same row.

    Args:
        seed: From 0 to 2^63 - 1.
        pairs: Indices of the pairs, counted from 0.
        which: 1 or 2, the original of the pair.
        file: The file's name.
        count: How many rows there are, from 1 to 2^32 - 1.
        stratified: Whether pairs are spread evenly over the rows.

    Returns:
        Shape (B,), int64, from 0 to count - 1.

    Raises:
        InvalidInputError: An argument is out of range.
    """
    require_between("count", count, 1, MAX_CHOICES)
    return _choices(STORED_DOMAIN, seed, pairs, which, file, count, stratified)


def _choices(
    domain: str,
    seed: int,
    pairs: Pairs,
    which: Which,
    name: str,
    count: int,
    stratified: bool,
) -> npt.NDArray[np.int64]:
    """One of `count` for every pair, (B,)."""
    return bounded_integers(_words(domain, seed, pairs, which, name, 1, stratified)[:, 0], count)


def _words(
    domain: str,
    seed: int,
    pairs: Pairs,
    which: Which,
    name: str,
    count: int,
    stratified: bool,
) -> npt.NDArray[np.uint64]:
    """Shape (B, count)."""
    if stratified:
        return stratified_words(domain, seed, which, name, pairs, count)
    return raw_words(stream_key(domain, seed, which, name), pairs, count)


def _uniforms(
    seed: int,
    pairs: Pairs,
    which: Which,
    name: str,
    shape: tuple[int, ...],
    stratified: bool,
) -> npt.NDArray[np.float64]:
    """Uniforms strictly inside (0, 1), shape (B, *shape)."""
    if any(size < 1 for size in shape):
        raise InvalidInputError(f"shape {shape} is not allowed; every size is at least 1", "shape")
    words = _words(LATENT_DOMAIN, seed, pairs, which, name, math.prod(shape), stratified)
    return open_uniforms(words).reshape(-1, *shape)


def standard_normal64(
    seed: int,
    pairs: Pairs,
    which: Which,
    name: str,
    shape: tuple[int, ...],
    *,
    stratified: bool = False,
) -> npt.NDArray[np.float64]:
    """Standard normals by the inverse of their distribution function, shape (B, *shape)."""
    unit = _uniforms(seed, pairs, which, name, shape, stratified)
    return np.asarray(ndtri(unit), dtype=np.float64)
