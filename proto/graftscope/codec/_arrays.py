"""Arrays as bytes: element types by KServe's names, C order, little-endian; and files as KServe
packs them.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope.codec._errors import CodecError
from graftscope.v1 import tensor_pb2

AnyArray = NDArray[np.generic]

INLINE_LIMIT_BYTES = 1 << 20
"""What a message may hold of arrays; larger ones travel as artifacts."""

CHUNK_BYTES = 1 << 20
"""What a chunk of an artifact may hold."""

DATATYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "UINT8": np.dtype(np.uint8),
        "INT32": np.dtype("<i4"),
        "INT64": np.dtype("<i8"),
        "FP32": np.dtype("<f4"),
        "FP64": np.dtype("<f8"),
    }
)
"""The element types that models take, by KServe's names."""

ARRAY_DATATYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {**DATATYPES, "FP16": np.dtype("<f2")}
)
"""The element types that arrays have on their way: those, and one that no model takes."""

FILES = "BYTES"
"""The datatype of files, each of which follows its length in four bytes."""

_NAMES = {dtype: name for name, dtype in ARRAY_DATATYPES.items()}
_LENGTH = struct.Struct("<I")
_BYTES_KIND = 2  # Of protobuf's wire format: a field whose length is told.


def datatype_of(dtype: "np.dtype[Any]") -> str:
    """Name an element type, in either byte order.

    Raises:
        CodecError: If the contract does not have it.
    """
    name = _NAMES.get(dtype.newbyteorder("<"))
    if name is None:
        allowed = ", ".join(each.name for each in ARRAY_DATATYPES.values())
        raise CodecError(f"arrays of {dtype} cannot be sent; allowed: {allowed}")
    return name


def encode(array: AnyArray) -> tuple[str, memoryview]:
    """Turn an array into its datatype's name and its bytes, which are the array's own if they can.

    Raises:
        CodecError: If the contract does not have its element type.
    """
    datatype = datatype_of(array.dtype)
    ordered = np.ascontiguousarray(array, ARRAY_DATATYPES[datatype])
    return datatype, ordered.reshape(-1).view(np.uint8).data


def size_bytes(datatype: str, shape: Sequence[int]) -> int:
    """Tell how many bytes an array takes.

    Raises:
        CodecError: If the datatype is unknown.
    """
    if datatype not in ARRAY_DATATYPES:
        allowed = ", ".join(ARRAY_DATATYPES)
        raise CodecError(f"datatype {datatype!r} is unknown; allowed: {allowed}")
    return math.prod(shape) * ARRAY_DATATYPES[datatype].itemsize


def decode(data: "bytes | bytearray | memoryview", datatype: str, shape: Sequence[int]) -> AnyArray:
    """Turn bytes into an array that is a view of them.

    Args:
        data: Elements in C order, little-endian.
        datatype: KServe's name of the element type.
        shape: Extents, outermost first.

    Raises:
        CodecError: If the datatype is unknown, or the number of bytes is another one.
    """
    needed = size_bytes(datatype, shape)
    if len(data) != needed:
        raise CodecError(
            f"{len(data)} bytes for {datatype} of shape {tuple(shape)}, which needs {needed}"
        )
    return np.frombuffer(data, ARRAY_DATATYPES[datatype]).reshape(shape)


def encode_files(files: Iterable[bytes]) -> bytes:
    """Put files one after the other, each after its length."""
    return b"".join(part for file in files for part in (_LENGTH.pack(len(file)), file))


def decode_files(data: "bytes | bytearray | memoryview", shape: Sequence[int]) -> list[bytes]:
    """Take files apart.

    Raises:
        CodecError: If they are not (N,), or their lengths do not add up.
    """
    view, files, start = memoryview(data), list[bytes](), 0
    while start + _LENGTH.size <= len(view):
        (length,) = _LENGTH.unpack_from(view, start)
        start += _LENGTH.size
        files.append(bytes(view[start : start + length]))
        start += length
    if start != len(view) or tuple(shape) != (len(files),):
        raise CodecError(
            f"{len(view)} bytes for files of shape {tuple(shape)}, which do not add up"
        )
    return files


def tensor(array: AnyArray) -> tensor_pb2.Tensor:
    """Make the inline form of an array. Raises as `encode`."""
    message = tensor_pb2.Tensor()
    fill_tensor(message, array)
    return message


def inline(array: NDArray[Any]) -> tensor_pb2.Array:
    """Make an array that lies inside its message."""
    return tensor_pb2.Array(tensor=tensor(array))


def fill_tensor(message: tensor_pb2.Tensor, array: AnyArray) -> None:
    """Fill the inline form of an array in place. Raises as `encode`."""
    datatype, data = encode(array)
    message.datatype, message.data = datatype, bytes(data)
    message.shape.extend(array.shape)


def packed(message: Message, arrays: Mapping[str, AnyArray]) -> bytes:
    """Serialize a message with arrays inline in some of its fields, copying each of them once.

    `fill_tensor` and serializing copy three times, into memory that the system has to find anew.

    Args:
        message: All but these fields.
        arrays: By the name of a field of type `Array`.

    Raises:
        CodecError: If the contract does not have an array's element type.
    """
    parts: list[bytes | memoryview] = [message.SerializeToString()]
    fields = message.DESCRIPTOR.fields_by_name
    for name, array in arrays.items():
        datatype, data = encode(array)
        parts += [_before(fields[name].number, datatype, array.shape, len(data)), data]
    return b"".join(parts)


@lru_cache(maxsize=256)
def _before(number: int, datatype: str, shape: tuple[int, ...], size: int) -> bytes:
    """What comes before an array's bytes where a field of this number holds it."""
    before = tensor_pb2.Tensor(datatype=datatype, shape=shape).SerializeToString()
    before += field_head(tensor_pb2.Tensor.DATA_FIELD_NUMBER, size)
    for around in (tensor_pb2.Array.TENSOR_FIELD_NUMBER, number):
        before = field_head(around, len(before) + size) + before
    return before


def field_head(number: int, size: int) -> bytes:
    """Write what comes before a field of bytes or a message: its number, its kind, its length."""
    return _varint(number << 3 | _BYTES_KIND) + _varint(size)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the highest bit set."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def artifact(sha256: str, datatype: str, shape: Sequence[int]) -> tensor_pb2.Array:
    """Make the form of an array that is stored."""
    stored = tensor_pb2.Artifact(sha256=sha256, datatype=datatype, shape=shape)
    return tensor_pb2.Array(artifact=stored)
