"""Arrays to and from the wire: element types, byte order, and whether the bytes add up."""

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from graftscope.client.errors import InputError, ReplyError
from graftscope.v1 import tensor_pb2

AnyArray = NDArray[np.generic]

INLINE_LIMIT_BYTES = 1 << 20
"""What a message may hold in all its tensors together; larger arrays travel as artifacts."""

DATATYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""The contract's element types, little-endian."""

FILES = "BYTES"
"""The contract's datatype of files, each of which follows its length in four bytes."""

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, eq=False)
class Packed:
    """An array's bytes as they travel, with what is needed to make it an array again."""

    datatype: str
    shape: tuple[int, ...]
    data: memoryview
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hashlib.sha256(self.data).hexdigest())

    def to_tensor(self) -> tensor_pb2.Tensor:
        """Make the inline form."""
        return tensor_pb2.Tensor(datatype=self.datatype, shape=self.shape, data=bytes(self.data))

    def to_artifact(self) -> tensor_pb2.Artifact:
        """Make the descriptor of the stored form."""
        return tensor_pb2.Artifact(sha256=self.sha256, datatype=self.datatype, shape=self.shape)


def pack(array: AnyArray) -> Packed:
    """Turn an array into its bytes: C order, little-endian.

    Args:
        array: Any shape; one of the contract's element types, in either byte order.

    Returns:
        The bytes with datatype, shape and sha256.

    Raises:
        InputError: If the contract has no such element type.
    """
    datatype = _datatype_of(array.dtype)
    ordered = np.ascontiguousarray(array, DATATYPES[datatype])
    return Packed(datatype, array.shape, ordered.reshape(-1).view(np.uint8).data)


def unpack(data: bytes | bytearray, datatype: str, shape: Sequence[int]) -> AnyArray:
    """Turn bytes into an array that nobody else has.

    Args:
        data: Elements in C order, little-endian.
        datatype: The contract's name of the element type.
        shape: Extents, outermost first.

    Returns:
        The array, writable, in the machine's byte order; of objects, each a file's bytes, where the
        datatype is `FILES`.

    Raises:
        ReplyError: If the datatype is unknown or the number of bytes is another one.
    """
    if datatype == FILES:
        return _unpack_files(memoryview(data), shape)
    expected = size_bytes(datatype, shape)
    if len(data) != expected:
        raise ReplyError(
            f"the server sent {len(data)} bytes for {datatype} of shape {tuple(shape)},"
            f" which needs {expected}"
        )
    dtype = DATATYPES[datatype]
    # What was put together here from chunks is writable already, and nobody else's.
    copy = not isinstance(data, bytearray)
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=copy)


def _unpack_files(data: memoryview, shape: Sequence[int]) -> AnyArray:
    files: list[bytes] = []
    start = 0
    while start + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        files.append(bytes(data[start : start + length]))
        start += length
    if start != len(data) or tuple(shape) != (len(files),):
        raise ReplyError(
            f"the server sent {len(data)} bytes for files of shape {tuple(shape)}, which do not"
            " add up"
        )
    array = np.empty(len(files), dtype=np.object_)
    array[:] = files
    return array


def size_bytes(datatype: str, shape: Sequence[int]) -> int:
    """Tell how many bytes an array takes on the wire.

    Raises:
        ReplyError: If the datatype is unknown.
    """
    if datatype not in DATATYPES:
        allowed = ", ".join(DATATYPES)
        raise ReplyError(f"the server sent an array of datatype {datatype!r}; known: {allowed}")
    return math.prod(shape) * DATATYPES[datatype].itemsize


def tensor_to_proto(array: AnyArray) -> tensor_pb2.Tensor:
    """Make the inline form of an array; see `pack`."""
    return pack(array).to_tensor()


def tensor_from_proto(tensor: tensor_pb2.Tensor) -> AnyArray:
    """Read the inline form of an array; see `unpack`."""
    return unpack(tensor.data, tensor.datatype, tensor.shape)


def _datatype_of(dtype: np.dtype[np.generic]) -> str:
    for datatype, candidate in DATATYPES.items():
        if dtype.newbyteorder("<") == candidate:
            return datatype
    allowed = ", ".join(str(np.dtype(known.name)) for known in DATATYPES.values())
    raise InputError(f"arrays of {dtype} cannot be sent; allowed: {allowed}")
