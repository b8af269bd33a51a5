"""What the analyses refuse, and why; arrays and numbers are checked at the package's boundary.

    AnalysisError (ValueError)
    ├── InvalidInputError      an argument is malformed; `field` names it
    │   └── KTooLargeError     more modules were asked for than there are maps to group
    └── NotConvergedError      a factorisation or a clustering stopped before it settled

This module must not know how a caller reports an error: statuses and exit codes are mapped outside.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class AnalysisError(ValueError):
    """Root of everything that this package refuses."""


class InvalidInputError(AnalysisError):
    """An argument is malformed or out of range.

    Attributes:
        field: The argument's name, as in the signature of the function that was called.
    """

    def __init__(self, message: str, field: str = "") -> None:
        """Says what was wrong, which value, and what is allowed.

        Args:
            message: One line.
            field: The argument's name.
        """
        super().__init__(message)
        self.field = field


class KTooLargeError(InvalidInputError):
    """The number of modules exceeds what the maps can be grouped into."""


class NotConvergedError(AnalysisError):
    """An iteration reached its limit before it settled, so its result is not returned."""


def require_between(field: str, value: float, low: float, high: float) -> None:
    """Refuses a number outside [low, high]."""
    if not low <= value <= high:
        raise InvalidInputError(f"{field} = {value} is not allowed; it is {low} to {high}", field)


def require_distinct(field: str, values: Sequence[object]) -> None:
    """Refuses no values, and values of which two are equal."""
    if not 0 < len(set(values)) == len(values):
        raise InvalidInputError(
            f"{field} {list(values)} are not allowed; at least one, all different", field
        )


def require_smoothing(window: int, percentile: float, side: int) -> None:
    """Refuses ways of preprocessing that maps do not have; see `preprocess`.

    Args:
        window: Of the averaging, in pixels.
        percentile: Above which a pixel counts.
        side: The maps' longest, in pixels.
    """
    if not 1 <= window <= side or window % 2 == 0:
        raise InvalidInputError(
            f"window = {window} is not allowed; it is an odd number of pixels, at most {side}, the "
            "maps' longest side",
            "window",
        )
    if not 0 < percentile < 100:
        raise InvalidInputError(
            f"percentile = {percentile} is not allowed; it is between 0 and 100, both excluded",
            "percentile",
        )


def require_finite(field: str, array: npt.NDArray[np.float64]) -> None:
    """Refuses NaN and infinity, and says where the first one is."""
    finite = np.isfinite(array)
    if finite.all():
        return
    # argmin of a boolean array is its first False.
    first = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), array.shape))
    bad = int(array.size - np.count_nonzero(finite))
    raise InvalidInputError(
        f"{field}: {bad} of {array.size} values are NaN or infinite, the first ({array[first]}) at"
        f" {first}",
        field,
    )


def finite_array(field: str, array: npt.ArrayLike, axes: str) -> npt.NDArray[np.float64]:
    """The array in float64, refused unless it is finite and has exactly the named axes.

    `axes` is one letter an axis, e.g. "CHW"; none of them may be empty.
    """
    values = np.asarray(array, dtype=np.float64)
    if values.ndim != len(axes) or 0 in values.shape:
        expected = ", ".join(axes)
        raise InvalidInputError(
            f"{field} has shape {values.shape}; it needs ({expected}) with nothing empty", field
        )
    require_finite(field, values)
    return values
