"""A reply's arrays: listed, then, once they were read, taken by name and checked.

Reading an array may take further calls, so a reply's arrays are first listed (`arrays_of`), then
read by whoever makes calls, then put together.
"""

from collections.abc import Mapping

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope.client._results import FloatArray
from graftscope.client.errors import ReplyError
from graftscope.client.wire._tensors import AnyArray
from graftscope.v1 import originals_pb2, tensor_pb2

Arrays = Mapping[str, AnyArray]


def arrays_of(message: Message) -> dict[str, tensor_pb2.Array]:
    """List a message's arrays by their fields' names; those of latents by ``FIELD.INPUT``."""
    found: dict[str, tensor_pb2.Array] = {}
    for field, value in message.ListFields():
        if isinstance(value, tensor_pb2.Array):
            found[field.name] = value
        elif isinstance(value, originals_pb2.Latents):
            found |= {f"{field.name}.{name}": array for name, array in value.inputs.items()}
    return found


def take(arrays: Arrays, name: str, axes: int) -> AnyArray:
    """Take an array of a reply.

    Raises:
        ReplyError: If it is missing, or has another number of axes.
    """
    array = arrays.get(name)
    if array is None:
        raise ReplyError(f"the server's reply has no array {name!r}")
    if array.ndim != axes:
        raise ReplyError(f"the server sent {name!r} with {array.ndim} axes, not {axes}")
    return array


def float64(arrays: Arrays, name: str, axes: int) -> FloatArray:
    """Take an array of double precision; see `take`."""
    return take(arrays, name, axes).astype(np.float64, copy=False)


def float32(arrays: Arrays, name: str, axes: int) -> NDArray[np.float32]:
    """Take an array of single precision; see `take`."""
    return take(arrays, name, axes).astype(np.float32, copy=False)


def int64(arrays: Arrays, name: str, axes: int) -> NDArray[np.int64]:
    """Take an array of integers; see `take`."""
    return take(arrays, name, axes).astype(np.int64, copy=False)


def files(arrays: Arrays, name: str) -> list[bytes]:
    """Take files.

    Raises:
        ReplyError: If they are missing, or something else was sent.
    """
    array = take(arrays, name, 1)
    if array.dtype != np.object_:
        raise ReplyError(f"the server sent {name!r} as numbers, not as files")
    return [bytes(each) for each in array]


def latents(arrays: Arrays, field: str) -> dict[str, AnyArray]:
    """Take the latents of one field, by the inputs' names."""
    prefix = f"{field}."
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
