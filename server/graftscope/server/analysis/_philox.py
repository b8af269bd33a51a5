"""Random words addressed by what they are for, not by when they are drawn.

A word is a pure function of (domain, seed, which original, name, pair, position): Philox4x64-10
(Salmon et al., 2011) is a block cipher that turns a counter into four words, and the pair's index
is part of the counter. So any shard, order or resumption sees the same pair. Only the generator's
raw words are used: numpy may change how its distributions consume them, but not the words.

This module must not know which distribution the words are turned into.
"""

import hashlib
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._checks import require_between
from graftscope.server.analysis._errors import InvalidInputError

Pairs: TypeAlias = range | npt.NDArray[np.int64]
"""Indices of pairs, counted from 0, in any order."""

Which: TypeAlias = Literal[1, 2]
"""Which latent of a pair: that of original 1 or that of original 2."""

MAX_SEED = 2**63 - 1


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
    state = philox.state
    for row, pair in zip(words, indices, strict=True):
        # The lowest counter word numbers a pair's own blocks, so pairs never overlap.
        counter = np.array([0, pair, 0, 0], dtype=np.uint64)
        philox.state = {**state, "state": {"counter": counter, "key": key}}
        row[:] = philox.random_raw(count)
    return words


def open_uniforms(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Uniforms strictly inside (0, 1), symmetric about 1/2, one a word.

    They are the odd multiples of 2^-53. Every (k + 1/2) 2^-53 would be finer by one bit, but the
    largest of these rounds to 1, where the inverse normal distribution function is infinite.
    """
    odd = (words >> np.uint64(11)) | np.uint64(1)
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
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise InvalidInputError(
            f"pairs has shape {indices.shape} and type {indices.dtype}; it needs (B,) integers",
            "pairs",
        )
    if indices.size and indices.min() < 0:
        raise InvalidInputError(f"pair {indices.min()} is not allowed; pairs count from 0", "pairs")
    return indices.astype(np.uint64)
