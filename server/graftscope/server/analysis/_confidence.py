"""How sure each channel's label is with respect to the pairs.

A label's probability is the chance that as many other pairs would give the channel the same module,
the modules being matched. Half of it comes from a jackknife: every group of shards is left out
once, templates and weights follow (`_scores`), and the weights' covariance over groups is turned
into draws, with the tails of Student's distribution for few groups. It is smooth and local: it
cannot see that other pairs would lead the method to altogether different modules. So the other half
comes from modules that are found anew: in maps whose groups are moved by as much as other pairs
would move them.

Axes: G groups, C channels, K modules, R maps made anew, D draws. This module must not know jobs.
"""

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
)
from graftscope.server.analysis._matching import match_labels
from graftscope.server.analysis._modules import NO_MODULE, Method, Modules, find_modules
from graftscope.server.analysis._resampled import Resampled
from graftscope.server.analysis._scores import scores
from graftscope.server.analysis._shard_groups import ShardGroups

LEAST_GROUPS = 4
"""Of a channel: of fewer means a spread is not believed.

Measured with `python -m benchmarks.labels` on 18 layers of five generators, K = 3: channels that
stop at 0.95, looked at after 4, 6, 8 and 10 shards and not longer, take 0.19 of the hybrids of
1,000 pairs, and 0.98 of the labels that are told sure are those of 4,096 pairs (medians; the
lowest is 0.66, where NMF has two sets of modules). Up to 32 shards they take 0.32, and 0.97
agree: docs/confidence.md has the table.
"""

RIVAL_SHARE = 0.2
"""A channel is between two modules where the second has at least this probability."""

# A single one that differs leaves no label sure at 0.95. With four, 0.965 of the sure ones agreed
# at 256 pairs, with eight 0.972. Most of a look's time goes there.
_REFITS = 8
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
        of = None if products is None else _square(products, kept)
        resampled = Resampled(groups.of(kept), of, window, percentile)
        found = _of(modules, kept)
        local, anew = _jackknife(resampled, found), _refits(resampled, found)
        probabilities[kept] = local if anew is None else (local + anew) / 2
        probabilities[~believed] = np.nan
    return Confidence(probabilities, modules.labels)


def _jackknife(resampled: Resampled, modules: Modules) -> npt.NDArray[np.float64]:
    """Probabilities by draws whose covariance is that of the scores over groups, shape (C, K)."""
    shares = resampled.shares[..., np.newaxis]  # (G, C, 1)
    counts = np.count_nonzero(resampled.shares, axis=0)  # (C,)
    base = scores(resampled.together(), modules)
    left_out = np.array([scores(resampled.without(g), modules) for g in range(len(shares))])
    # Groups of unequal size (Busing, Meijer and van der Leeden, 1999): to a group left out belongs
    # a deviation from the mean over all, which a larger group moves further.
    weights = np.where(shares > 0, 1 - shares, 0)
    centre = (weights * left_out).sum(axis=0) / weights.sum(axis=0)
    deviations = np.where(shares > 0, (left_out - centre) * weights, 0)
    deviations /= np.sqrt(1 - np.square(shares).sum(axis=0))
    if modules.method is Method.NMF:
        # Fewer pixels make templates of unit length, and so weights, smaller.
        deviations *= modules.weights.sum() / base.sum()
        base = modules.weights
    probabilities = np.empty_like(base)
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


def _refits(resampled: Resampled, modules: Modules) -> npt.NDArray[np.float64] | None:
    """How often each channel is in each module when these are found anew, shape (C, K).

    None where no modules could be found in any of the maps.
    """
    counts = np.zeros((len(modules.labels), modules.k))
    for signs in _signs(len(resampled.shares)):
        try:
            found = find_modules(resampled.moved(signs), modules.k, modules.method, modules.seed)
        except (KTooLargeError, NotConvergedError):
            continue
        match = match_labels(modules.labels, found.labels, modules.k)
        rows = np.flatnonzero(found.labels != NO_MODULE)
        counts[rows, match[found.labels[rows]]] += 1
    totals = counts.sum(axis=1, keepdims=True)
    if not totals.all():
        return None
    return np.asarray(counts / totals, dtype=np.float64)


def _signs(groups: int) -> Iterator[npt.NDArray[np.float64]]:
    """As many signs of either kind in random orders, each followed by its opposite."""
    random = np.random.default_rng(_SEED)
    halves = np.where(np.arange(groups) % 2 == 0, 1.0, -1.0)
    for _ in range(_REFITS // 2):
        signs = random.permutation(halves)
        yield signs
        yield -signs


def _square(products: ShardGroups, channels: npt.NDArray[np.int64]) -> ShardGroups:
    """The products of some channels with each other."""
    some = products.of(channels)
    return replace(some, means=some.means[..., channels])


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
