"""Random words addressed by what they are for, not by when they are drawn.

A word is a pure function of (domain, seed, which original, name, pair, position): Philox4x64-10
(Salmon et al., 2011) is a block cipher that turns a counter into four words, and the pair's index
is part of the counter. So any shard, order or resumption sees the same pair. Only the generator's
raw words are used: numpy may change how its distributions consume them, but not the words.

Stratified words are spread evenly, by a Latin hypercube over every group of 32 pairs: each word of
a pair is moved into one of 32 equal parts of its range, another one for every pair of the group, in
a random order that is drawn anew for each word. By itself a pair is distributed as ever; 32 of them
cover every dimension evenly, which averages much of a smooth effect's spread away (McKay, Beckman
and Conover, 1979).

This module must not know which distribution the words are turned into.
"""

import hashlib
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, require_between

Pairs: TypeAlias = range | npt.NDArray[np.int64]
"""Indices of pairs, counted from 0, in any order."""

Which: TypeAlias = Literal[1, 2]
"""Which latent of a pair: that of original 1 or that of original 2."""

MAX_SEED = 2**63 - 1

MAX_PAIRS = 10_000_000
"""Of one job."""

GROUP_PAIRS = 32
"""Pairs of a group, and parts of a range: group g holds pairs 32 g to 32 g + 31."""

# Hashed after the words' own domain. A change of the arithmetic gets a new number.
_STRATA = "/strata/1"

_PART_BITS = 5
_REST = np.uint64(64 - _PART_BITS)


def stream_key(domain: str, seed: int, which: Which, name: str) -> npt.NDArray[np.uint64]:
    """Philox's key (2 words) of one stream: the first 128 bits of a hash of what it is for."""
    require_between("seed", seed, 0, MAX_SEED)
    require_between("which", which, 1, 2)
    # The name comes last because it alone may contain the separator.
    text = f"{domain}\0{seed}\0{which}\0{name}"
    digest = hashlib.sha256(text.encode()).digest()
    return np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)


class _NoSeed(np.random.bit_generator.ISeedSequence):
    """Of generators whose state is set: made with a key, they would ask for randomness."""

    def generate_state(
        self, n_words: int, dtype: npt.DTypeLike = np.uint32
    ) -> npt.NDArray[np.uint32 | np.uint64]:
        return np.zeros(n_words, dtype=dtype)


def raw_words(key: npt.NDArray[np.uint64], pairs: Pairs, count: int) -> npt.NDArray[np.uint64]:
    """The first `count` words of each pair, shape (B, count)."""
    indices = pair_indices(pairs)
    words = np.empty((len(indices), count), dtype=np.uint64)
    philox = np.random.Philox(_NoSeed())  # type: ignore[arg-type]  # the stub knows one kind
    # The lowest counter word numbers a pair's own blocks, so pairs never overlap.
    counter = np.zeros(4, dtype=np.uint64)
    state = philox.state
    state["state"] = {"counter": counter, "key": key}
    for row, pair in zip(words, indices, strict=True):
        counter[1] = pair
        philox.state = state  # which is copied
        row[:] = philox.random_raw(count)
    return words


def open_uniforms(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Uniforms strictly inside (0, 1), symmetric about 1/2, one a word.

    They are the odd multiples of 2^-53. Every (k + 1/2) 2^-53 would be finer by one bit, but the
    largest of these rounds to 1, where the inverse normal distribution function is infinite.
    """
    odd = (words >> 11) | 1
    return odd.astype(np.float64) * 2.0**-53


def bounded_integers(words: npt.NDArray[np.uint64], bound: int) -> npt.NDArray[np.int64]:
    """Integers in [0, bound), one a word: the high half of word x bound, for bound < 2^32.

    The bias of any value is below 2^-32 of its probability.
    """
    half = np.uint64(32)
    factor = np.uint64(bound)
    low = (words & np.uint64(2**32 - 1)) * factor
    high = (words >> half) * factor
    return ((high + (low >> half)) >> half).astype(np.int64)


def pair_indices(pairs: Pairs) -> npt.NDArray[np.uint64]:
    """The pairs as an array, (B,).

    Raises:
        InvalidInputError: They are no integers in one row, or one is below 0.
    """
    indices = np.arange(pairs.start, pairs.stop, pairs.step) if isinstance(pairs, range) else pairs
    if isinstance(pairs, range) and pairs and min(pairs[0], pairs[-1]) >= 0:
        return indices.astype(np.uint64)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise InvalidInputError(
            f"pairs has shape {indices.shape} and type {indices.dtype}; it needs (B,) integers",
            "pairs",
        )
    if indices.size and indices.min() < 0:
        raise InvalidInputError(f"pair {indices.min()} is not allowed; pairs count from 0", "pairs")
    return indices.astype(np.uint64)


def stratified_words(
    domain: str, seed: int, which: Which, name: str, pairs: Pairs, count: int
) -> npt.NDArray[np.uint64]:
    """Words as `raw_words` gives, whose five highest bits are the pair's part: (B, count).

    What is turned into uniforms or integers below a bound needs no more: both read words from
    their highest bit on.

    Args:
        domain: Of the words; the parts have a stream of their own.
        seed: From 0 to 2^63 - 1.
        which: 1 or 2, the original of the pair; each is spread by itself.
        name: What the words are for.
        pairs: Indices of pairs, in any order, of any groups; a row depends on its pair alone.
        count: Words a pair.
    """
    words = raw_words(stream_key(domain, seed, which, name), pairs, count)
    parts = _parts(stream_key(domain + _STRATA, seed, which, name), pairs, count)
    return (parts << _REST) | (words >> np.uint64(_PART_BITS))


def _parts(key: npt.NDArray[np.uint64], pairs: Pairs, count: int) -> npt.NDArray[np.uint64]:
    """The rank of each pair's word among the words of its group, from 0: (B, count).

    Counted pair by pair of the group, so that what is held does not grow with the group.
    """
    indices = pair_indices(pairs).astype(np.int64)
    groups, which_group = np.unique(indices // GROUP_PAIRS, return_inverse=True)
    place = (indices % GROUP_PAIRS)[:, np.newaxis]
    own = raw_words(key, indices, count)
    ranks = np.zeros(own.shape, dtype=np.uint64)
    for other in range(GROUP_PAIRS):
        words = raw_words(key, groups * GROUP_PAIRS + other, count)[which_group]
        # Of equal words the earlier pair's comes first, so that no part is taken twice.
        ranks += np.where(other < place, words <= own, words < own)
    return ranks
