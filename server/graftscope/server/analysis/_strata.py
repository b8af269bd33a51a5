"""Words of pairs that are spread evenly: a Latin hypercube over every group of 32 pairs.

Each word of a pair is moved into one of 32 equal parts of its range, another one for every pair of
the group, in a random order that is drawn anew for each word. By itself a pair is distributed as
ever; 32 of them cover every dimension evenly, which averages much of a smooth effect's spread away
(McKay, Beckman and Conover, 1979).

This module must not know which distribution the words are turned into.
"""

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._philox import (
    Pairs,
    Which,
    pair_indices,
    raw_words,
    stream_key,
)

GROUP_PAIRS = 32
"""Pairs of a group, and parts of a range: group g holds pairs 32 g to 32 g + 31."""

# Hashed after the words' own domain. A change of the arithmetic gets a new number.
_STRATA = "/strata/1"

_PART_BITS = 5
_REST = np.uint64(64 - _PART_BITS)


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
