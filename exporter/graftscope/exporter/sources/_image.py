"""The image: which of a graph's outputs it is, and between which values its pixels lie.

The range is told by the graph's last operations, by the user, or by samples. Operations are
followed upwards: saturating functions, clipping, addition of a number and multiplication by it, and
those that only rearrange.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter.errors import SourceError
from graftscope.graph import (
    before_rounding_to_steps,
    holds_whole_numbers,
    is_tensor,
    operation,
)

CHANNELS: Final = (1, 3, 4)
"""Grey, colours, colours with opacity."""

_TYPES: Final = (None, ir.DataType.FLOAT, ir.DataType.UINT8)
_ALLOWED: Final = (
    "an image is float or uint8, (B, C, H, W) or (B, H, W, C), with 1, 3 or 4 channels C"
)

_COMMON_RANGES: Final = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
_NOT_UNIT: Final = 16.0
"""Where most pixels reach further, they are not meant for a range of width 1 or 2."""
_TOLERANCE: Final = 1e-5
"""As a share of the range's width: rounding is no leaving of the range."""

Interval = tuple[float, float]
_BOUNDED: Final = {
    "HardSigmoid": (0.0, 1.0),
    "Sigmoid": (0.0, 1.0),
    "Softsign": (-1.0, 1.0),
    "Tanh": (-1.0, 1.0),
}
_BYTES: Final = (0.0, 255.0)
_DEEPEST: Final = 100
_KEEPS_VALUES: Final = frozenset(
    {"DepthToSpace", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
)
_AFFINE: Final = frozenset({"Add", "Div", "Mul", "Sub"})


@dataclass(frozen=True)
class ImageRange:
    """Between which values pixels lie.

    Attributes:
        low: The least value.
        high: The largest.
        bounded: Whether no pixel may leave the range; else it is where most lie.
        notes: What was guessed, or how far samples leave the range; one line each.
    """

    low: float
    high: float
    bounded: bool
    notes: tuple[str, ...] = ()


def choose_output(graph: ir.Graph, wanted: str | None) -> tuple[str, ...]:
    """Leave a graph the one output that is the image.

    Args:
        graph: The graph; changed in place.
        wanted: The output's name; None takes the only one that looks like an image.

    Returns:
        A note where there was a choice.

    Raises:
        SourceError: If there is no such output, or none or several look like an image.
    """
    names = [value.name or "" for value in graph.outputs]
    if wanted is not None and wanted not in names:
        raise SourceError(
            f"--output {wanted!r} is not among the graph's outputs: {listed(graph.outputs)}"
        )
    given = [value for value in graph.outputs if wanted in (None, value.name)]
    images = [value for value in given if may_be_image(value)]
    if not images:
        raise SourceError(f"this is no generator of images: {_ALLOWED}, not {listed(given)}")
    if len(images) > 1:
        raise SourceError(
            f"several outputs may be the image; name one with --output: {listed(images)}"
        )
    graph.outputs[:] = images
    if len(names) == 1 or wanted is not None:
        return ()
    return (
        f"output {images[0].name!r}: the only image of {len(names)} outputs; "
        "name another with --output NAME",
    )


def require_image(value: ir.Value) -> None:
    """Refuse an output in plain form that is no image (B, C, H, W) with all but the batch fixed."""
    dims = () if value.shape is None else value.shape.dims
    if (
        len(dims) != 4
        or not all(isinstance(dim, int) for dim in dims[1:])
        or dims[1] not in CHANNELS
        or value.dtype is not ir.DataType.FLOAT
    ):
        raise SourceError(f"this is no generator of images: {_ALLOWED}, not {listed([value])}")


def find_range(
    image: ir.Value,
    wanted: tuple[float, float] | None,
    sample: Callable[[], NDArray[np.float32]],
) -> ImageRange:
    """Tell between which values an image's pixels lie.

    Args:
        image: A graph's output.
        wanted: What the user says; None takes what the graph tells, or guesses.
        sample: Draws images (B, C, H, W); called where the graph does not tell.

    Raises:
        SourceError: If the wanted range is empty, or none of the common ranges fits the samples.
    """
    if wanted is not None and not wanted[0] < wanted[1]:
        raise SourceError(f"--range {wanted[0]:g},{wanted[1]:g} is empty: LOW must be below HIGH")
    told = interval_of(image)
    if told is not None and wanted in (None, told):
        return ImageRange(*told, bounded=True)
    if told is not None and wanted is not None and wanted[0] <= told[0] and told[1] <= wanted[1]:
        return ImageRange(*wanted, bounded=True)
    images = sample()
    if not np.isfinite(images).all():
        raise SourceError("the generator's images hold numbers that are not finite")
    if wanted is not None:
        return ImageRange(*wanted, bounded=False, notes=_left(wanted, images))
    low, high = _guess(images)
    guessed = (
        f"image range [{low:g}, {high:g}]: guessed from {len(images)} samples, which reach from "
        f"{images.min():.4g} to {images.max():.4g}; change it with --range LOW,HIGH"
    )
    return ImageRange(low, high, bounded=False, notes=(guessed, *_left((low, high), images)))


def may_be_image(value: ir.Value) -> bool:
    """Tell whether nothing that is known of an output keeps it from being an image."""
    if not is_tensor(value) or value.dtype not in _TYPES:
        return False
    if value.shape is None:
        return True
    if len(value.shape) != 4:
        return False
    ends = value.shape[1], value.shape[3]
    return any(not isinstance(channels, int) or channels in CHANNELS for channels in ends)


def listed(values: Iterable[ir.Value]) -> str:
    """Return tensors with their types and shapes, for messages."""
    return ", ".join(
        f"{each.name!r} {each.dtype} {each.shape}"
        if is_tensor(each)
        else f"{each.name!r}, a sequence (give its tensors outputs of their own)"
        for each in values
    )


def _left(stated: tuple[float, float], images: NDArray[np.float32]) -> tuple[str, ...]:
    """Note by how much samples leave a range."""
    low, high = stated
    below, above = max(low - float(images.min()), 0.0), max(float(images.max()) - high, 0.0)
    if max(below, above) <= _TOLERANCE * (high - low):
        return ()
    return (
        f"images leave their range [{low:g}, {high:g}] by up to {max(below, above):.3g} "
        f"in {len(images)} samples",
    )


def _guess(images: NDArray[np.float32]) -> tuple[float, float]:
    """Take the common range that most pixels lie in, and that they fill."""
    low, high = (float(each) for each in np.percentile(images, (1, 99)))
    if high > _NOT_UNIT and low > -0.25 * high:
        chosen = _COMMON_RANGES[2]
    else:
        chosen = _COMMON_RANGES[0] if low < -0.05 else _COMMON_RANGES[1]
    width = chosen[1] - chosen[0]
    if max(chosen[0] - low, high - chosen[1]) > width:
        raise SourceError(
            f"the image's range cannot be guessed: most pixels of {len(images)} samples lie "
            f"between {low:.4g} and {high:.4g}; give it with --range LOW,HIGH"
        )
    return chosen


def interval_of(value: ir.Value, depth: int = 0) -> Interval | None:
    """Return the bounds that the end of a graph puts on a tensor.

    Args:
        value: The tensor, such as an image.
        depth: How many operations lie below it that were followed; no more than 100 are.

    Returns:
        The least and the largest value that it can have; None where nothing bounds it.
    """
    value = value if holds_whole_numbers(value) else before_rounding_to_steps(value)
    node = value.producer()
    if node is None or value.dtype is ir.DataType.UINT8 or depth > _DEEPEST:
        return _BYTES if value.dtype is ir.DataType.UINT8 else None
    if operation(node) in _BOUNDED:
        return _BOUNDED[operation(node)]
    data = node.inputs[0] if node.inputs else None
    if data is None:
        return None
    if operation(node) in _KEEPS_VALUES or (operation(node) == "Cast" and _keeps_numbers(data)):
        return interval_of(data, depth + 1)
    if operation(node) == "Clip":
        return _clipped(node, depth + 1)
    return _rescaled(node, depth + 1) if operation(node) in _AFFINE else None


def _keeps_numbers(value: ir.Value) -> bool:
    """Tell whether a Cast of that tensor, to a type that an image has, lets its numbers be."""
    floats = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
    return value.dtype in (*floats, ir.DataType.UINT8)


def _clipped(node: ir.Node, depth: int) -> Interval | None:
    data, *bounds = node.inputs
    assert data is not None
    given = interval_of(data, depth) or (-np.inf, np.inf)
    numbers = [_number(each) for each in bounds]
    low, high = (*numbers, None, None)[:2]
    least = given[0] if low is None else max(given[0], low)
    most = given[1] if high is None else min(given[1], high)
    return (least, most) if np.isfinite([least, most]).all() and least < most else None


def _rescaled(node: ir.Node, depth: int) -> Interval | None:
    """Follow the addition of one number, or the multiplication by it."""
    first, second = node.inputs
    swapped = _number(second) is None
    number, data = (_number(first), second) if swapped else (_number(second), first)
    given = None if data is None or number is None else interval_of(data, depth)
    if given is None or number is None:
        return None
    ends = [_applied(operation(node), end, number, swapped) for end in given]
    known = sorted(end for end in ends if end is not None)
    return (known[0], known[1]) if len(known) == 2 and known[0] < known[1] else None


def _applied(kind: str, end: float, number: float, swapped: bool) -> float | None:
    first, second = (number, end) if swapped else (end, number)
    if kind == "Div":
        return first / second if not swapped and second else None
    results = {"Add": first + second, "Mul": first * second, "Sub": first - second}
    return results[kind]


def _number(value: ir.Value | None) -> float | None:
    """Return a constant whose elements are all the same."""
    if value is None or value.const_value is None or value.const_value.size == 0:
        return None
    numbers = value.const_value.numpy()
    return float(numbers.flat[0]) if (numbers == numbers.flat[0]).all() else None
