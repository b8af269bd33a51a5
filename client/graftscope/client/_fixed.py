"""Values of inputs that are the same in every sample: given as numbers, sent as (1, ...) arrays."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graftscope.client import _checks as check
from graftscope.client._models import Input, Model
from graftscope.client.errors import InputError

Fixed: TypeAlias = Mapping[str, ArrayLike]
"""What a `fix` argument takes: a number or an array by the input's name."""

_TYPES = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}


def fixed_values(fix: Fixed, model: Model) -> dict[str, NDArray[np.generic]]:
    """Give values the type and the shape of a model's inputs.

    Args:
        fix: A number, which fills the whole input, or an array of the input's shape with or
            without an axis of one sample in front; by the input's name.
        model: Which generator.

    Returns:
        (1, ...) for each input that was named.

    Raises:
        InputError: If the model has no such input, or a value does not fit it.
    """
    inputs = {each.name: each for each in model.inputs}
    for name in fix:
        if name not in inputs:
            raise InputError(
                f"input {name!r} is not in model {model.name!r}; it has: {', '.join(inputs)}",
                field="fix",
            )
    return {name: _value(inputs[name], value) for name, value in fix.items()}


def _value(wanted: Input, value: ArrayLike) -> NDArray[np.generic]:
    array = check.finite(f"fix {wanted.name!r}", np.asarray(value))
    shape = (1, *wanted.shape)
    if array.ndim and array.shape not in (shape, wanted.shape):
        raise InputError(
            f"fix {wanted.name!r} has shape {array.shape}; input {wanted.name!r} takes a number, or"
            f" an array of shape {wanted.shape}",
            field="fix",
        )
    return np.ascontiguousarray(np.broadcast_to(_typed(wanted, array), shape))


def _typed(wanted: Input, array: NDArray[np.generic]) -> NDArray[np.generic]:
    dtype = _TYPES.get(wanted.datatype)
    number = np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_
    if dtype is None or not number or np.iscomplexobj(array):
        raise InputError(
            f"fix {wanted.name!r} of type {array.dtype}: input {wanted.name!r} is of type"
            f" {wanted.datatype}",
            field="fix",
        )
    with np.errstate(all="ignore"):  # what does not fit is found by comparison
        typed = array.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(typed, array):
        raise InputError(
            f"fix {wanted.name!r}: input {wanted.name!r} takes whole numbers of type"
            f" {wanted.datatype}, and {array.reshape(-1)[0]} is none",
            field="fix",
        )
    return check.finite(f"fix {wanted.name!r}", typed)
