"""What a classifier says of hybrids, by what it says of their two originals.

A hybrid's class stays original 1's, becomes original 2's, or is neither. Where both originals are
of one class only staying can be told, and such pairs are counted apart. Of an attribute that an
image has or has not, the same is told of its sign.

Axes: N pairs, S sets of hybrids, A attributes, F classes or attributes. This module must not know
networks or images.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logsumexp

from graftscope.server.analysis._errors import InvalidInputError

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

# Sums of float32 probabilities are 1 but for rounding.
_ROUNDED = 1e-3


@dataclass(frozen=True, eq=False)
class Verdicts:
    """How often hybrids keep the class of original 1; shares are NaN where they are of nothing.

    Attributes:
        differ: () pairs whose originals are of different classes; of attributes (pair, attribute).
        stays: (S,) share of those that stay original 1's.
        becomes: (S,) share that become original 2's.
        neither: (S,) share that are something else.
        same: () pairs whose originals are of one class.
        same_stays: (S,) share of those that keep it.
        differ_pairs: () how many pairs `differ` is of: trials that are independent.
        same_pairs: () likewise of `same`.
    """

    differ: int
    stays: Floats
    becomes: Floats
    neither: Floats
    same: int
    same_stays: Floats
    differ_pairs: int
    same_pairs: int


@dataclass(frozen=True, eq=False)
class ClassPairVerdicts:
    """The same for each pair of classes that occurs, R rows; ascending by classes, then by set.

    Attributes:
        set: (R,) which set of hybrids.
        class1: (R,) the class of original 1.
        class2: (R,) the class of original 2.
        count: (R,) how many pairs there are of these classes.
        stays: (R,) how many of them stay original 1's; all that do, where both are of one class.
        becomes: (R,) how many become original 2's; 0 where both are of one class.
        neither: (R,) how many are something else.
    """

    set: Whole
    class1: Whole
    class2: Whole
    count: Whole
    stays: Whole
    becomes: Whole
    neither: Whole


@dataclass(frozen=True, eq=False)
class AttributeVerdicts:
    """The same for each attribute: what becomes of its sign.

    Attributes:
        differ: (A,) pairs of whose originals one has it.
        stays: (S, A) how many of those keep original 1's sign; the others have original 2's.
        same: (A,) pairs whose originals both have it, or both lack it.
        same_stays: (S, A) how many of those keep the sign.
    """

    differ: Whole
    stays: Whole
    same: Whole
    same_stays: Whole


def are_probabilities(scores: npt.ArrayLike, *, exclusive: bool) -> bool:
    """Whether scores are probabilities already; else they are taken for logits.

    Args:
        scores: (N, F).
        exclusive: Whether an image is of one class: then probabilities sum to 1.
    """
    values = np.asarray(scores, dtype=np.float64)
    inside = bool(((values >= 0) & (values <= 1)).all())
    if not exclusive:
        return inside
    return inside and bool(np.abs(values.sum(axis=-1) - 1).max(initial=0.0) <= _ROUNDED)


def entropies(scores: npt.ArrayLike, *, exclusive: bool, probabilities: bool) -> Floats:
    """How unsure a classifier is of each image: the entropy of its distribution, in nats.

    Args:
        scores: (..., F).
        exclusive: Whether an image is of one class; else the mean over attributes is taken, each
            of which has a distribution of its own.
        probabilities: As `are_probabilities` tells.

    Returns:
        (...), from 0, where it is sure, to log F, or of attributes to log 2.
    """
    values = np.asarray(scores, dtype=np.float64)
    if exclusive:
        if not probabilities:
            logs = values - logsumexp(values, axis=-1, keepdims=True)
            return np.asarray(-(np.exp(logs) * logs).sum(axis=-1))
        whole: Floats = values / values.sum(axis=-1, keepdims=True)
        return np.asarray(_surprise(whole).sum(axis=-1))
    has = values if probabilities else expit(values)
    lacks = 1 - values if probabilities else expit(-values)
    return np.asarray((_surprise(has) + _surprise(lacks)).mean(axis=-1))


def _surprise(share: Floats) -> Floats:
    return -share * np.log(np.where(share > 0, share, 1.0))


def has_attributes(scores: npt.ArrayLike, *, probabilities: bool) -> npt.NDArray[np.bool_]:
    """Which attributes each image has: those more probable than not."""
    return np.asarray(scores) > (0.5 if probabilities else 0.0)


def class_verdicts(first: npt.ArrayLike, second: npt.ArrayLike, hybrids: npt.ArrayLike) -> Verdicts:
    """What hybrids' classes are, by those of the originals.

    Args:
        first: (N,) classes of originals 1.
        second: (N,) classes of originals 2.
        hybrids: (S, N) classes of the hybrids.

    Raises:
        InvalidInputError: The shapes do not fit.
    """
    one, two, made = _checked(first, second, hybrids, axes=1)
    differ = one != two
    return Verdicts(
        differ=int(differ.sum()),
        stays=_share(made == one, differ),
        becomes=_share(made == two, differ),
        neither=_share((made != one) & (made != two), differ),
        same=int((~differ).sum()),
        same_stays=_share(made == one, ~differ),
        differ_pairs=int(differ.sum()),
        same_pairs=int((~differ).sum()),
    )


def sign_verdicts(first: npt.ArrayLike, second: npt.ArrayLike, hybrids: npt.ArrayLike) -> Verdicts:
    """What becomes of the attributes, all of them together: a trial is a pair's attribute.

    Args:
        first: (N, A) which attributes originals 1 have.
        second: (N, A) likewise of originals 2.
        hybrids: (S, N, A) likewise of the hybrids.

    Raises:
        InvalidInputError: The shapes do not fit.
    """
    one, two, made = _checked(first, second, hybrids, axes=2)
    differ = one != two
    stays = _share(made == one, differ)
    return Verdicts(
        differ=int(differ.sum()),
        stays=stays,
        becomes=_share(made == two, differ),
        neither=np.where(np.isnan(stays), np.nan, 0.0),
        same=int((~differ).sum()),
        same_stays=_share(made == one, ~differ),
        differ_pairs=int(differ.any(axis=1).sum()),
        same_pairs=int((~differ).any(axis=1).sum()),
    )


def by_class_pair(
    first: npt.ArrayLike, second: npt.ArrayLike, hybrids: npt.ArrayLike
) -> ClassPairVerdicts:
    """The counts of each pair of classes that occurs. Arguments and errors as `class_verdicts`."""
    one, two, made = _checked(first, second, hybrids, axes=1)
    pairs, which = np.unique(np.stack([one, two], axis=1), axis=0, return_inverse=True)
    sets = len(made)

    def counted(kept: npt.NDArray[np.bool_]) -> Whole:
        """(R,) of (S, N) booleans, the sets of a pair of classes side by side."""
        rows = [np.bincount(which.ravel(), weights=x, minlength=len(pairs)) for x in kept]
        return np.stack(rows, axis=1).astype(np.int64).ravel()

    different = one != two
    return ClassPairVerdicts(
        set=np.tile(np.arange(sets), len(pairs)),
        class1=np.repeat(pairs[:, 0], sets),
        class2=np.repeat(pairs[:, 1], sets),
        count=counted(np.ones_like(made, dtype=np.bool_)),
        stays=counted(made == one),
        becomes=counted((made == two) & different),
        neither=counted((made != one) & (made != two)),
    )


def by_attribute(
    first: npt.ArrayLike, second: npt.ArrayLike, hybrids: npt.ArrayLike
) -> AttributeVerdicts:
    """The counts of each attribute. Arguments and errors as `sign_verdicts`."""
    one, two, made = _checked(first, second, hybrids, axes=2)
    differ, kept = one != two, made == one
    return AttributeVerdicts(
        differ=differ.sum(axis=0),
        stays=(kept & differ).sum(axis=1),
        same=(~differ).sum(axis=0),
        same_stays=(kept & ~differ).sum(axis=1),
    )


def _share(kept: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> Floats:
    """(S,) share of true ones in each set, among some of the trials."""
    trials = int(among.sum())
    if not trials:
        return np.full(len(kept), np.nan)
    shares: Floats = (kept & among).reshape(len(kept), -1).sum(axis=1) / trials
    return shares


def _checked(
    first: npt.ArrayLike, second: npt.ArrayLike, hybrids: npt.ArrayLike, axes: int
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    one, two, made = (np.asarray(x) for x in (first, second, hybrids))
    if one.ndim != axes or one.shape != two.shape or made.shape[1:] != one.shape or not one.size:
        raise InvalidInputError(
            f"originals of shapes {one.shape} and {two.shape} and hybrids of shape {made.shape} do"
            f" not go together; {'(N,)' if axes == 1 else '(N, A)'} of both originals, and that of"
            " each set of hybrids",
            "hybrids",
        )
    return one, two, made
