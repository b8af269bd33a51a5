"""How sure each channel's label is with respect to the pairs.

A label's probability is the chance that as many other pairs would give the channel the same module,
the modules being matched. Half of it comes from a jackknife: every group of shards is left out
once, templates and weights follow (`_scores`), and the weights' covariance over groups is turned
into draws, with the tails of Student's distribution for few groups. It is smooth and local: it
cannot see that other pairs would lead the method to altogether different modules. So the other half
comes from modules that are found anew, in maps whose groups are moved by as much as other pairs
would move them. And where NMF has another set of modules that explains the same maps about as well,
as random starts show, other pairs may lead it there: either set has half of that half.

Axes: G groups, C channels, K modules, R maps made anew, D draws. This module must not know jobs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import (
    InvalidInputError,
    KTooLargeError,
    NotConvergedError,
    require_smoothing,
)
from graftscope.server.analysis._features import (
    DEFAULT_PERCENTILE,
    DEFAULT_WINDOW,
    Features,
)
from graftscope.server.analysis._matching import match_labels
from graftscope.server.analysis._modules import NO_MODULE, Method, Modules, find_modules
from graftscope.server.analysis._resampled import Resampled
from graftscope.server.analysis._rough_factors import MOST_STEPS, rough_factors, unexplained
from graftscope.server.analysis._scores import scores
from graftscope.server.analysis._shard_groups import ShardGroups

LEAST_GROUPS = 4
"""Of a channel: of fewer means a spread is not believed. Channels that are looked at from so many
on, until they are sure, are measured by `python -m benchmarks.labels`; docs/confidence.md tells."""

RIVAL_SHARE = 0.2
"""A channel is between two modules where the second has at least this probability."""

# The pairs at hand and the others both miss the truth, so that twice the variance of a mean is
# between them.
_BOTH_RUNS = math.sqrt(2)

# A single one that differs leaves no label sure at 0.95. Half of a look's time goes there.
_REFITS = 8

# Random starts that look for another set of modules, which puts so many of the channels elsewhere
# and leaves no more and no less unexplained. In `gan-cifar10` intermediate two sets are 0.013 to
# 0.031 apart, and 0.4 of the labels differ. After the first steps most have come to the same set.
_STARTS = 4
_FIRST_STEPS = 32
_OTHER = 0.15
_AS_WELL = 0.05

_DRAWS = 1000
_SEED = 20
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Confidence:
    """How sure labels are.

    Attributes:
        probabilities: Of each channel's belonging to each module, shape (C, K), float64; a row sums
            to 1, or is NaN where the channel is in no module or has too few groups of shards.
        labels: The modules that were found, shape (C,), int64; -1 for none.
    """

    probabilities: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]

    @property
    def own(self) -> npt.NDArray[np.float64]:
        """Each label's probability, shape (C,); NaN where there is none."""
        rows = np.arange(len(self.labels))
        return np.where(self.labels == NO_MODULE, np.nan, self.probabilities[rows, self.labels])

    @property
    def rivals(self) -> npt.NDArray[np.int64]:
        """The module that each channel may belong to instead, shape (C,), int64.

        -1 where no other has a probability of at least RIVAL_SHARE.
        """
        others = np.nan_to_num(self.probabilities)
        others[np.arange(len(self.labels)), self.labels] = 0
        return np.where(others.max(axis=1) >= RIVAL_SHARE, others.argmax(axis=1), NO_MODULE)


def label_confidence(
    groups: ShardGroups,
    modules: Modules,
    window: int = DEFAULT_WINDOW,
    percentile: float = DEFAULT_PERCENTILE,
    products: ShardGroups | None = None,
) -> Confidence:
    """How sure each label is with respect to the pairs.

    Args:
        groups: The means that the maps are made of, C rows.
        modules: What was found in the maps.
        window: Of the box filter, as the modules were found.
        percentile: Likewise.
        products: For modules that were found by products: those of each channel with all, as C rows
            of height 1 and width C.

    Returns:
        The probabilities; the same arguments give the same bits.

    Raises:
        InvalidInputError: The rows are not the modules' channels, products are needed and missing,
            or the window or the percentile is out of range.
    """
    require_smoothing(window, percentile, max(groups.means.shape[2:]))
    channels = len(modules.labels)
    for rows in (groups, *([] if products is None else [products])):
        if len(rows.units) != channels:
            raise InvalidInputError(
                f"groups have {len(rows.units)} rows; the modules are of {channels} channels",
                "groups",
            )
    if modules.method.needs_products and products is None:
        raise InvalidInputError(
            f"modules by {modules.method.value} need the groups of the products, which were not "
            "given",
            "products",
        )
    probabilities = np.full((channels, modules.k), np.nan)
    believed = groups.counts >= LEAST_GROUPS
    kept = np.flatnonzero(modules.labels != NO_MODULE)
    if believed[kept].any():
        of = None if products is None else products.squared(kept)
        resampled = Resampled(groups.of(kept), of, window, percentile)
        found = _of(modules, kept)
        local, anew = _jackknife(resampled, found), _found_anew(resampled, found)
        probabilities[kept] = local if anew is None else (local + anew) / 2
        probabilities[~believed] = np.nan
    return Confidence(probabilities, modules.labels)


def _jackknife(resampled: Resampled, modules: Modules) -> npt.NDArray[np.float64]:
    """Probabilities by draws whose covariance is that of the scores over groups, shape (C, K)."""
    shares = resampled.shares[..., np.newaxis]  # (G, C, 1)
    counts = np.count_nonzero(resampled.shares, axis=0)  # (C,)
    without = [resampled.without(group) for group in range(len(shares))]
    found = scores([resampled.together(), *without], modules)
    base, left_out = found[0], found[1:]
    # Groups of unequal size (Busing, Meijer and van der Leeden, 1999): to a group left out belongs
    # a deviation from the mean over all, which a larger group moves further.
    weights = np.where(shares > 0, 1 - shares, 0)
    centre = (weights * left_out).sum(axis=0) / weights.sum(axis=0)
    deviations = np.where(shares > 0, (left_out - centre) * weights, 0)
    deviations *= _BOTH_RUNS / np.sqrt(1 - np.square(shares).sum(axis=0))
    if modules.method is Method.NMF:
        # Fewer pixels make templates of unit length, and so weights, smaller.
        deviations *= modules.weights.sum() / base.sum()
        base = modules.weights
    probabilities: npt.NDArray[np.float64] = np.empty_like(base)
    for start in range(0, len(base), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        probabilities[rows] = _drawn(base[rows], deviations[:, rows], counts[rows])
    return probabilities


def _drawn(
    base: npt.NDArray[np.float64],
    deviations: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """How often each score is the largest, shape (C, K), with deviations in random proportions."""
    random = np.random.default_rng(_SEED)
    proportions = random.standard_normal((_DRAWS, len(deviations)))
    tails = np.empty((_DRAWS, len(base)))
    for count in np.unique(counts):
        freedom = max(int(count) - 1, 1)
        tail = np.sqrt(freedom / random.chisquare(freedom, _DRAWS))
        tails[:, counts == count] = tail[:, np.newaxis]
    drawn = np.einsum("dg,gck->dck", proportions, deviations) * tails[..., np.newaxis]
    largest = (base + drawn).argmax(axis=2)  # (D, C)
    return np.stack([(largest == j).mean(axis=0) for j in range(base.shape[1])], axis=1)


def _found_anew(resampled: Resampled, modules: Modules) -> npt.NDArray[np.float64] | None:
    """How often each channel is in each module when these are found anew, shape (C, K).

    None where no modules could be found in any of the maps.
    """
    counts = np.zeros((len(modules.labels), modules.k))
    for signs in _signs(len(resampled.shares)):
        try:
            labels = _labels_anew(resampled.moved(signs, _BOTH_RUNS), modules)
        except (KTooLargeError, NotConvergedError):
            continue
        rows = np.flatnonzero(labels != NO_MODULE)
        counts[rows, labels[rows]] += 1
    totals = counts.sum(axis=1, keepdims=True)
    if not totals.all():
        return None
    shares = counts / totals
    if modules.method is Method.NMF and modules.k > 1:
        other = _other_labels(resampled.whole(), modules)
        differ = np.flatnonzero((other != modules.labels) & (other != NO_MODULE))
        shares[differ] /= 2
        shares[differ, other[differ]] += 0.5
    return np.asarray(shares, dtype=np.float64)


def _labels_anew(features: Features, modules: Modules) -> npt.NDArray[np.int64]:
    """Labels of the method's modules in other maps, under the numbers of those, shape (C,)."""
    if modules.method is not Method.NMF:
        found = find_modules(features, modules.k, modules.method, modules.seed).labels
        return _renamed(found, modules)
    kept = features.binary.nonempty
    if modules.k > len(kept):
        raise KTooLargeError(f"k = {modules.k} exceeds {len(kept)} maps that are not flat", "k")
    labels = np.full(len(modules.labels), NO_MODULE)
    labels[kept] = rough_factors(features.binary.matrix[kept], modules.k).labels
    return _renamed(labels, modules)


def _other_labels(features: Features, modules: Modules) -> npt.NDArray[np.int64]:
    """Labels by the set of modules that differs most and explains the maps about as well.

    Args:
        features: Of the maps in which the modules were found.
        modules: By NMF.

    Returns:
        Shape (C,), under the modules' numbers; their own labels where there is no other set.
    """
    kept, most = features.binary.nonempty, modules.labels
    if modules.k > len(kept):
        return most
    maps, weights = features.binary.matrix[kept], modules.weights[kept].astype(np.float32)
    templates = modules.templates.reshape(modules.k, -1).astype(np.float32)
    error = unexplained(maps, weights, templates)
    fewest = math.ceil(_OTHER * len(most))
    for start in range(_STARTS):
        labels = modules.labels.copy()
        for steps in (_FIRST_STEPS, MOST_STEPS):
            found = rough_factors(maps, modules.k, np.random.default_rng([_SEED, start]), steps)
            labels[kept] = found.labels
            labels = _renamed(labels, modules)
            count = int(np.count_nonzero(labels != modules.labels))
            if count < fewest:
                break  # It leads to these, or to another set that differs less.
        else:
            if abs(found.error - error) <= _AS_WELL * error:
                most, fewest = labels, count
    return most


def _renamed(labels: npt.NDArray[np.int64], modules: Modules) -> npt.NDArray[np.int64]:
    """Labels under the modules' numbers."""
    match = match_labels(modules.labels, labels, modules.k)
    return np.where(labels == NO_MODULE, NO_MODULE, match[labels])


def _signs(groups: int) -> Iterator[npt.NDArray[np.float64]]:
    """As many signs of either kind in random orders, each followed by its opposite."""
    random = np.random.default_rng(_SEED)
    halves = np.where(np.arange(groups) % 2 == 0, 1.0, -1.0)
    for _ in range(_REFITS // 2):
        signs = random.permutation(halves)
        yield signs
        yield -signs


def _of(modules: Modules, channels: npt.NDArray[np.int64]) -> Modules:
    """The same modules of some channels, all of which have a label."""
    none = np.zeros(0, dtype=np.int64)
    return replace(
        modules,
        labels=modules.labels[channels],
        weights=modules.weights[channels],
        purity=modules.purity[channels],
        empty=none,
        unexplained=none,
    )
