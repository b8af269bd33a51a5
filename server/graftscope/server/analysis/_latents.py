"""The latents of numbered pairs: what a generator's inputs are, for any pair, in any order.

A row depends on the seed, the pair's index, which of the pair's two originals is meant, and the
name of the generator's input alone. The two originals of a pair, and the inputs of a generator, are
independent (section 3.2). Pairs are independent of each other unless they are stratified: then each
by itself is distributed as ever, and the 32 pairs of a group, 32 g to 32 g + 31, take another 32nd
of the distribution each, in every dimension of every input of either original.

Axes: B pairs, Z an input's flattened size. This module must not know generators or files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from graftscope.server.analysis._errors import InvalidInputError, require_between
from graftscope.server.analysis._random_words import (
    Pairs,
    Which,
    bounded_integers,
    open_uniforms,
    raw_words,
    stratified_words,
    stream_key,
)

# Hashed into every key. A change of the arithmetic gets a new number, never the same pairs' name.
LATENT_DOMAIN = "graftscope/latents/1"
IMAGE_DOMAIN = "graftscope/images/1"
STORED_DOMAIN = "graftscope/stored/1"

MAX_CHOICES = 2**32 - 1


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws for one original of some pairs.

    Every method gives a row a pair; most take the name of the generator's input, and the shape of
    one sample of it, without the batch. They raise `InvalidInputError` where an argument or one of
    these is out of range.

    Attributes:
        seed: From 0 to 2^63 - 1.
        pairs: Indices of the pairs, counted from 0.
        which: 1 or 2, the original of the pair.
        stratified: Whether pairs are spread evenly.
    """

    seed: int
    pairs: Pairs
    which: Which
    stratified: bool = False

    def normals(
        self, name: str, shape: tuple[int, ...], mean: float = 0.0, deviation: float = 1.0
    ) -> npt.NDArray[np.float32]:
        """Independent normals: (B, *shape), float32, rounded after they are scaled and shifted.

        Args:
            name: The generator's input.
            shape: Of one sample.
            mean: Finite.
            deviation: Standard deviation, above 0 and finite.
        """
        # Written so that NaN is refused too.
        if not (0 < deviation < math.inf and math.isfinite(mean)):
            raise InvalidInputError(
                f"mean = {mean} and deviation = {deviation} are not allowed; both are finite, and "
                "the deviation is above 0",
                "deviation",
            )
        return (mean + deviation * self.normals64(name, shape)).astype(np.float32)

    def normals64(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Independent standard normals in float64: (B, *shape).

        By the inverse of their distribution function.
        """
        return np.asarray(ndtri(self._uniforms(name, shape)), dtype=np.float64)

    def truncated_normals(
        self, name: str, shape: tuple[int, ...], threshold: float
    ) -> npt.NDArray[np.float32]:
        """Independent standard normals given that they lie within +-threshold.

        By the inverse distribution function of the truncated normal, from the words that `normals`
        turns into its own draws: (B, *shape), float32.

        Args:
            name: The generator's input.
            shape: Of one sample.
            threshold: Above 0, finite.
        """
        # Written so that NaN is refused too.
        if not 0 < threshold < math.inf:
            raise InvalidInputError(
                f"threshold = {threshold} is not allowed; it is above 0 and finite", "threshold"
            )
        below = ndtr(-threshold)
        inside = below + (1 - 2 * below) * self._uniforms(name, shape)
        return np.clip(ndtri(inside), -threshold, threshold).astype(np.float32)

    def uniforms(
        self, name: str, shape: tuple[int, ...], low: float = -1.0, high: float = 1.0
    ) -> npt.NDArray[np.float32]:
        """Independent uniforms on [low, high]: (B, *shape), float32.

        Args:
            name: The generator's input.
            shape: Of one sample.
            low: Lower end; rounding to float32 can reach either.
            high: Upper end, above `low`.
        """
        # Written so that NaN is refused too.
        if not (low < high and math.isfinite(low) and math.isfinite(high)):
            raise InvalidInputError(
                f"low = {low} and high = {high} are not allowed; low is below high, both finite",
                "low",
            )
        return (low + (high - low) * self._uniforms(name, shape)).astype(np.float32)

    def classes(self, name: str, classes: int) -> npt.NDArray[np.int64]:
        """Labels of classes with equal probability, (B,), from 0 to classes - 1.

        Args:
            name: The generator's input.
            classes: How many there are, from 1 to 2^32 - 1.
        """
        require_between("classes", classes, 1, MAX_CHOICES)
        return self._choices(LATENT_DOMAIN, name, classes)

    def numbers(self, name: str, numbers: Sequence[float]) -> npt.NDArray[np.float64]:
        """Some of these numbers, each with equal probability: (B,), float64.

        Args:
            name: The generator's input.
            numbers: From 1 to 2^32 - 1 of them.
        """
        require_between("numbers", len(numbers), 1, MAX_CHOICES)
        return np.asarray(numbers, np.float64)[self._choices(LATENT_DOMAIN, name, len(numbers))]

    def images(self, number_of_images: int) -> npt.NDArray[np.int64]:
        """Indices of real images to encode, independent and with replacement: (B,).

        Args:
            number_of_images: How many there are to draw from, from 1 to 2^32 - 1.
        """
        require_between("number_of_images", number_of_images, 1, MAX_CHOICES)
        return self._choices(IMAGE_DOMAIN, "", number_of_images)

    def stored_rows(self, file: str, count: int) -> npt.NDArray[np.int64]:
        """Rows of a file of stored latents, independent and with replacement: (B,).

        The file's name is what is hashed, so that inputs of one file take the same row.

        Args:
            file: The file's name.
            count: How many rows there are, from 1 to 2^32 - 1.
        """
        require_between("count", count, 1, MAX_CHOICES)
        return self._choices(STORED_DOMAIN, file, count)

    def _choices(self, domain: str, name: str, count: int) -> npt.NDArray[np.int64]:
        """One of `count` for every pair, (B,)."""
        return bounded_integers(self._words(domain, name, 1)[:, 0], count)

    def _uniforms(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Uniforms strictly inside (0, 1), shape (B, *shape)."""
        if any(size < 1 for size in shape):
            raise InvalidInputError(
                f"shape {shape} is not allowed; every size is at least 1", "shape"
            )
        words = self._words(LATENT_DOMAIN, name, math.prod(shape))
        return open_uniforms(words).reshape(-1, *shape)

    def _words(self, domain: str, name: str, count: int) -> npt.NDArray[np.uint64]:
        """Shape (B, count)."""
        if self.stratified:
            return stratified_words(domain, self.seed, self.which, name, self.pairs, count)
        return raw_words(stream_key(domain, self.seed, self.which, name), self.pairs, count)
