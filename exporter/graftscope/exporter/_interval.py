"""What the last operations of a graph say of the values that they give.

It follows them upwards from a tensor: saturating functions, clipping, addition of a number and
multiplication by it, and operations that only rearrange.
"""

from typing import Final

import numpy as np
import onnx_ir as ir

Interval = tuple[float, float]
_BOUNDED: Final = {
    "HardSigmoid": (0.0, 1.0),
    "Sigmoid": (0.0, 1.0),
    "Softsign": (-1.0, 1.0),
    "Tanh": (-1.0, 1.0),
}
_KEEPS_VALUES: Final = frozenset(
    {"DepthToSpace", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
)
_AFFINE: Final = frozenset({"Add", "Div", "Mul", "Sub"})


def interval_of(value: ir.Value) -> Interval | None:
    """Return the bounds that the end of a graph puts on a tensor.

    Args:
        value: The tensor, such as an image.

    Returns:
        The least and the largest value that it can have; None where nothing bounds it.
    """
    node = value.producer()
    if node is None:
        return None
    if node.op_type in _BOUNDED:
        return _BOUNDED[node.op_type]
    data = node.inputs[0] if node.inputs else None
    if data is None:
        return None
    if node.op_type in _KEEPS_VALUES or (node.op_type == "Cast" and _is_float(data)):
        return interval_of(data)
    if node.op_type == "Clip":
        return _clipped(node)
    return _rescaled(node) if node.op_type in _AFFINE else None


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


def _clipped(node: ir.Node) -> Interval | None:
    data, *bounds = node.inputs
    assert data is not None
    given = interval_of(data) or (-np.inf, np.inf)
    numbers = [_number(each) for each in bounds]
    low, high = (*numbers, None, None)[:2]
    least = given[0] if low is None else max(given[0], low)
    most = given[1] if high is None else min(given[1], high)
    return (least, most) if np.isfinite([least, most]).all() and least < most else None


def _rescaled(node: ir.Node) -> Interval | None:
    """Follow the addition of one number, or the multiplication by it."""
    first, second = node.inputs
    swapped = _number(second) is None
    number, data = (_number(first), second) if swapped else (_number(second), first)
    given = None if data is None or number is None else interval_of(data)
    if given is None or number is None:
        return None
    ends = [_applied(node.op_type, end, number, swapped) for end in given]
    known = sorted(end for end in ends if end is not None)
    return (known[0], known[1]) if len(known) == 2 and known[0] < known[1] else None


def _applied(operation: str, end: float, number: float, swapped: bool) -> float | None:
    first, second = (number, end) if swapped else (end, number)
    if operation == "Div":
        return first / second if not swapped and second else None
    results = {"Add": first + second, "Mul": first * second, "Sub": first - second}
    return results[operation]


def _number(value: ir.Value | None) -> float | None:
    """Return a constant whose elements are all the same."""
    if value is None or value.const_value is None or value.const_value.size == 0:
        return None
    numbers = value.const_value.numpy()
    return float(numbers.flat[0]) if (numbers == numbers.flat[0]).all() else None
