"""A quantised tensor as float32: constants at once, others by a `DequantizeLinear` of their own."""

from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph._tensors import name_of
from graftscope.graph._values import free_name, initializer, insert


class Steps(NamedTuple):
    """What a quantised tensor is measured in: (whole number - zero) * scale."""

    scale: ir.Value | None
    """None for steps of 1."""
    zero: ir.Value | None


def in_float(
    graph: ir.Graph, before: ir.Node, value: ir.Value, steps: Steps, axis: int = 1
) -> ir.Value:
    """Return a quantised tensor's numbers in float32.

    Args:
        graph: The graph of the node.
        before: What reads the tensor.
        value: The tensor.
        steps: Its own.
        axis: Along which scale and zero differ, where they are vectors.
    """
    known = _numbers(value), _numbers(steps.scale), _numbers(steps.zero)
    if known[0] is not None and (steps.scale is None or known[1] is not None):
        numbers = _float_numbers(known[0], known[1], known[2], axis)
        return initializer(graph, free_name(graph, f"{name_of(value)}_in_float"), numbers)
    scale = steps.scale
    if scale is None:
        scale = initializer(
            graph, free_name(graph, f"{name_of(value)}_step"), np.array(1, np.float32)
        )
    inputs = [value, scale] if steps.zero is None else [value, scale, steps.zero]
    node = ir.node("DequantizeLinear", inputs, {"axis": axis} if _is_vector(scale) else None)
    result = insert(graph, before, node, free_name(graph, f"{name_of(value)}_in_float"))
    result.dtype, result.shape = ir.DataType.FLOAT, value.shape
    return result


def quantise(graph: ir.Graph, before: ir.Node, value: ir.Value, steps: Steps) -> ir.Value:
    """Return a tensor rounded to steps, whole numbers again."""
    inputs = [each for each in (value, steps.scale, steps.zero) if each is not None]
    node = ir.node("QuantizeLinear", inputs)
    return insert(graph, before, node, free_name(graph, f"{name_of(value)}_rounded"))


def float_bias(
    graph: ir.Graph, bias: ir.Value | None, data: Steps, weights: Steps
) -> ir.Value | None:
    """Return a bias, which is in steps of data times weights, in float32; None where there is none.

    Returns None too where its steps are not constant.
    """
    numbers, first, second = map(_numbers, (bias, data.scale, weights.scale))
    if bias is None or numbers is None or first is None or second is None:
        return None
    name = free_name(graph, f"{name_of(bias)}_in_float")
    step = first.astype(np.float32) * second.astype(np.float32)
    return initializer(graph, name, (numbers.astype(np.float32) * step).astype(np.float32))


def _float_numbers(
    numbers: NDArray[np.generic],
    scale: NDArray[np.generic] | None,
    zero: NDArray[np.generic] | None,
    axis: int,
) -> NDArray[np.float32]:
    shape = [1] * numbers.ndim
    if -numbers.ndim <= axis < numbers.ndim:
        shape[axis] = -1
    aligned = [
        each if each is None or each.size == 1 else each.reshape(shape) for each in (scale, zero)
    ]
    whole = numbers.astype(np.int64) - (0 if aligned[1] is None else aligned[1].astype(np.int64))
    factor = 1 if aligned[0] is None else aligned[0].astype(np.float32)
    return (whole.astype(np.float32) * factor).astype(np.float32).reshape(numbers.shape)


def _numbers(value: ir.Value | None) -> NDArray[np.generic] | None:
    return None if value is None or value.const_value is None else value.const_value.numpy()


def _is_vector(value: ir.Value) -> bool:
    return value.shape is not None and len(value.shape) == 1
