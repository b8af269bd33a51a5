"""Channels cut at random into three subsets, and what two runs on two of them have in common.

Section 4.1: one run sees the first two thirds, the other the last two; they share the middle one.
Axes: K modules. This module must not know methods or numbers of modules that are tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._matching import agreement, match_labels, template_cosines
from graftscope.server.analysis._modules import Modules

MAX_SEED = 2**32


@dataclass(frozen=True, eq=False)
class Split:
    """One random partition.

    Attributes:
        first: Channels of the first run, ascending, int64: the first and the middle third.
        second: Channels of the second run, likewise: the middle and the last third.
        shared: The middle third, ascending, int64.
        seeds: Of the two runs.
        permutations: Orders of the shared third, by which chance is told, shape (Q, S).
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    shared: npt.NDArray[np.int64]
    seeds: tuple[int, int]
    permutations: npt.NDArray[np.int64]


def random_split(channels: int, seed: int, repeat: int, permutations: int) -> Split:
    """Cuts channels 0 to C - 1 into thirds that differ by at most one channel.

    Args:
        channels: C, at least 3.
        seed: Of all repeats.
        repeat: Which one, from 0; a repeat is the same whatever number of them there is.
        permutations: How many orders of the shared third are drawn.
    """
    random = np.random.default_rng([seed, repeat])
    thirds = np.array_split(random.permutation(channels), 3)
    shared = np.sort(thirds[1]).astype(np.int64)
    seeds = random.integers(MAX_SEED, size=2)
    return Split(
        first=np.sort(np.concatenate(thirds[:2])).astype(np.int64),
        second=np.sort(np.concatenate(thirds[1:])).astype(np.int64),
        shared=shared,
        seeds=(int(seeds[0]), int(seeds[1])),
        permutations=np.stack([random.permutation(len(shared)) for _ in range(permutations)]),
    )


def smallest_run(channels: int) -> int:
    """Channels of the smaller run of a split: no K may exceed it."""
    thirds = [len(x) for x in np.array_split(np.arange(channels), 3)]
    return min(thirds[0] + thirds[1], thirds[1] + thirds[2])


def compare(split: Split, first: Modules, second: Modules) -> tuple[float, float, float]:
    """Label consistency, mean template cosine, and the consistency that chance would reach.

    Args:
        split: Which channels the runs saw.
        first: Modules of `split.first`.
        second: Modules of `split.second`.
    """
    a = first.labels[np.searchsorted(split.first, split.shared)]
    b = second.labels[np.searchsorted(split.second, split.shared)]
    # With many modules some have no channel in the shared third; templates tell those apart.
    likeness = _cosines(second.templates, first.templates)
    match = match_labels(a, b, first.k, likeness)
    cosine = template_cosines(first.templates, second.templates[np.argsort(match)]).mean()
    permuted = [agreement(a, b[order]) for order in split.permutations]
    return agreement(a, b), float(cosine), _mean(permuted)


def _cosines(
    templates_b: npt.NDArray[np.float64], templates_a: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    b, a = (x.reshape(len(x), -1) for x in (templates_b, templates_a))  # (K, P)
    lengths = np.outer(np.linalg.norm(b, axis=1), np.linalg.norm(a, axis=1))
    return np.asarray(b @ a.T / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
