"""Whether two groupings of the same channels agree, whatever numbers their modules carry.

Axes: C channels, K modules, H and W the map's size. This module must not know how the groupings
were found.
"""

import math

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError, finite_array
from graftscope.server.analysis._modules import NO_MODULE


def match_labels(
    labels_a: npt.ArrayLike,
    labels_b: npt.ArrayLike,
    k: int,
    likeness: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.int64]:
    """Names b's modules as a's so that most channels get the same label (Hungarian method).

    Args:
        labels_a: Shape (C,), from -1 (in no module) to k - 1.
        labels_b: The same channels' labels in the other grouping.
        k: Number of modules in each, at least 1.
        likeness: Of b's module in the row to a's in the column, shape (K, K), 0 to 1; decides
            between matches of equal agreement.

    Returns:
        A permutation, shape (K,), int64: b's module j is a's module `match[j]`.

    Raises:
        InvalidInputError: The labels differ in shape or are out of range.
    """
    from scipy.optimize import linear_sum_assignment

    a, b = _paired_labels(labels_a, labels_b, k)
    in_both = (a != NO_MODULE) & (b != NO_MODULE)
    shared = np.zeros((k, k), dtype=np.int64)  # rows b, columns a
    np.add.at(shared, (b[in_both], a[in_both]), 1)
    # All K likenesses together weigh less than one channel.
    ties = 0.0 if likeness is None else likeness / (2 * k)
    _, match = linear_sum_assignment(shared + ties, maximize=True)
    return np.asarray(match, dtype=np.int64)


def agreement(labels_a: npt.ArrayLike, labels_b: npt.ArrayLike) -> float:
    """The share of channels with the same label in both groupings, after matching.

    Channels that are in no module in both are left out: flat maps agree without saying anything.
    A channel that is in no module in one of them alone counts as a disagreement.

    Args:
        labels_a: Shape (C,), from -1 (in no module).
        labels_b: The same channels' labels in the other grouping.

    Returns:
        From 0 to 1; NaN if no channel is left.

    Raises:
        InvalidInputError: The labels differ in shape or are out of range.
    """
    k = 1 + max(_largest("labels_a", labels_a), _largest("labels_b", labels_b), 0)
    a, b = _paired_labels(labels_a, labels_b, k)
    match = match_labels(a, b, k)
    renamed = np.where(b == NO_MODULE, NO_MODULE, match[b])
    counted = (a != NO_MODULE) | (b != NO_MODULE)
    if not counted.any():
        return math.nan
    return float(np.mean(a[counted] == renamed[counted]))


def template_cosines(
    templates_a: npt.ArrayLike, templates_b: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Cosine between templates of the same number (section 4.1).

    Args:
        templates_a: Shape (K, H, W).
        templates_b: The same, its modules already named as a's.

    Returns:
        Shape (K,), float64; 0 where a template is zero, which resembles nothing.

    Raises:
        InvalidInputError: The shapes differ or a value is not finite.
    """
    a = finite_array("templates_a", templates_a, "KHW")
    b = finite_array("templates_b", templates_b, "KHW")
    if a.shape != b.shape:
        raise InvalidInputError(
            f"templates_b has shape {b.shape}; templates_a has {a.shape}, they must be equal",
            "templates_b",
        )
    lengths = np.linalg.norm(a, axis=(1, 2)) * np.linalg.norm(b, axis=(1, 2))
    products = (a * b).sum(axis=(1, 2))
    return np.asarray(products / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)


def _paired_labels(
    labels_a: npt.ArrayLike, labels_b: npt.ArrayLike, k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if k < 1:
        raise InvalidInputError(f"k = {k} is not allowed; it is at least 1", "k")
    a, b = _labels("labels_a", labels_a, k), _labels("labels_b", labels_b, k)
    if a.shape != b.shape:
        raise InvalidInputError(
            f"labels_b has {b.size} channels; labels_a has {a.size}, they must be the same",
            "labels_b",
        )
    return a, b


def _labels(field: str, labels: npt.ArrayLike, k: int) -> npt.NDArray[np.int64]:
    values = np.asarray(labels)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu":
        raise InvalidInputError(
            f"{field} has shape {values.shape} and type {values.dtype}; it needs (C,) integers",
            field,
        )
    out_of_range = values[(values < NO_MODULE) | (values >= k)]
    if out_of_range.size:
        raise InvalidInputError(
            f"{field} has the label {out_of_range[0]}; allowed: {NO_MODULE} to {k - 1}", field
        )
    return values.astype(np.int64)


def _largest(field: str, labels: npt.ArrayLike) -> int:
    return int(_labels(field, labels, np.iinfo(np.int64).max).max())
