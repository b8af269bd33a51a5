"""Arrays on their way: the small ones inside a message, the large ones as artifacts, in chunks.

Reading an array may take further calls, so a reply's arrays are first listed (`arrays_of`), then
read by whoever makes calls, then put together (`Read`).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, get_args

import google_crc32c
import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope import codec
from graftscope.client.arrays import text
from graftscope.client.errors import InputError, IntegrityError, ReplyError
from graftscope.client.values import Stored
from graftscope.v1 import artifact_service_pb2, originals_pb2, tensor_pb2

AnyArray: TypeAlias = NDArray[np.generic]
Arrays: TypeAlias = Mapping[str, AnyArray]


@dataclass(frozen=True, eq=False)
class Packed:
    """An array's bytes as they travel, with what is needed to make it an array again."""

    array: AnyArray
    datatype: str = field(init=False)
    data: memoryview = field(init=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        """Turn the array into bytes.

        Raises:
            CodecError: If the contract has no such element type.
        """
        datatype, data = codec.encode(self.array)
        object.__setattr__(self, "datatype", datatype)
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "sha256", hashlib.sha256(data).hexdigest())

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents, outermost first."""
        return self.array.shape

    def to_artifact(self) -> tensor_pb2.Array:
        """Make the descriptor of the stored form."""
        return codec.artifact(self.sha256, self.datatype, self.shape)


class Outbox:
    """Gives every array of a request its place, and keeps those that must be uploaded first.

    The limit holds for all inline arrays of the request together, so that a generator with many
    inputs cannot make a message too large.

    Attributes:
        large: The arrays to store on the server before the request is sent.
    """

    def __init__(self, limit_bytes: int = codec.INLINE_LIMIT_BYTES) -> None:
        self._room = limit_bytes
        self.large: list[Packed] = []

    def add(self, array: AnyArray | Stored) -> tensor_pb2.Array:
        """Place an array.

        Args:
            array: Any shape, of one of the contract's element types; or one of an operation.

        Returns:
            What the request holds: the array itself, or the name of its artifact or operation.
        """
        if isinstance(array, Stored):
            name = operation_name(array.operation)
            result = tensor_pb2.OperationResult(operation=name, array=array.array)
            return tensor_pb2.Array(result=result)
        packed = Packed(np.asarray(array))
        if packed.data.nbytes <= self._room:
            self._room -= packed.data.nbytes
            return tensor_pb2.Array(tensor=codec.tensor(packed.array))
        self.large.append(packed)
        return packed.to_artifact()


def operation_name(name: str) -> str:
    """Make the contract's form of an operation's name: ``operations/ID``."""
    if not text("name", name).removeprefix("operations/"):
        raise InputError("the operation's name is empty", field="name")
    return f"operations/{name.removeprefix('operations/')}"


def upload_requests(packed: Packed) -> Iterator[artifact_service_pb2.PutArtifactRequest]:
    """Cut an array into the messages of one upload: the descriptor, then the bytes in order."""
    yield artifact_service_pb2.PutArtifactRequest(artifact=packed.to_artifact().artifact)
    for start in range(0, packed.data.nbytes, codec.CHUNK_BYTES):
        data = bytes(packed.data[start : start + codec.CHUNK_BYTES])
        chunk = artifact_service_pb2.Chunk(data=data, crc32c=google_crc32c.value(data))
        yield artifact_service_pb2.PutArtifactRequest(chunk=chunk)


def unpack(data: bytes | bytearray, datatype: str, shape: Any) -> AnyArray:
    """Turn bytes into an array that nobody else has.

    Args:
        data: Elements in C order, little-endian.
        datatype: The contract's name of the element type.
        shape: Extents, outermost first.

    Returns:
        The array, writable, in the machine's byte order; of objects, each a file's bytes, where the
        datatype is `codec.FILES`.

    Raises:
        ReplyError: If the datatype is unknown or the number of bytes is another one.
    """
    try:
        if datatype == codec.FILES:
            files = codec.decode_files(data, shape)
            array = np.empty(len(files), dtype=np.object_)
            array[:] = files
            return array
        view = codec.decode(data, datatype, shape)
    except codec.CodecError as error:
        raise ReplyError(f"the server sent {error}") from error
    # What was put together here from chunks is writable already, and nobody else's.
    return view.astype(view.dtype.newbyteorder("="), copy=not isinstance(data, bytearray))


class Assembly:
    """Puts one artifact together from the messages of one or several downloads.

    Args:
        artifact: Descriptor of what is being read.
    """

    def __init__(self, artifact: tensor_pb2.Artifact) -> None:
        self._artifact = artifact
        self._data = bytearray()
        self._expected: int | None = None
        # How large files are is told with the first of their bytes.
        if artifact.datatype != codec.FILES:
            try:
                self._expected = codec.size_bytes(artifact.datatype, artifact.shape)
            except codec.CodecError as error:
                raise ReplyError(f"the server sent an array whose {error}") from error

    @property
    def complete(self) -> bool:
        """Whether every byte is there."""
        return self.received == self._expected

    @property
    def received(self) -> int:
        """Bytes so far: the offset from which the next download goes on."""
        return len(self._data)

    def add(self, reply: artifact_service_pb2.ReadArtifactResponse) -> None:
        """Take the next message of a download.

        Raises:
            IntegrityError: If the chunk does not match its checksum; nothing was taken then.
            ReplyError: If the artifact is longer than its shape says.
        """
        chunk = reply.chunk
        if google_crc32c.value(chunk.data) != chunk.crc32c:
            raise IntegrityError(
                f"a chunk of artifact {self._artifact.sha256[:12]} at byte {self.received}"
                " does not match its CRC-32C"
            )
        if self._expected is None:
            self._expected = reply.total_bytes
        if self.received + len(chunk.data) > self._expected:
            raise ReplyError(
                f"artifact {self._artifact.sha256[:12]} is longer than its {self._expected} bytes"
            )
        self._data += chunk.data

    def array(self) -> AnyArray:
        """Finish.

        Returns:
            The array.

        Raises:
            IntegrityError: If the whole does not match its sha256.
        """
        if hashlib.sha256(self._data).hexdigest() != self._artifact.sha256:
            raise IntegrityError(
                f"the {self.received} bytes read for artifact {self._artifact.sha256[:12]}"
                " do not match its sha256"
            )
        return unpack(self._data, self._artifact.datatype, self._artifact.shape)


def arrays_of(message: Message) -> dict[str, tensor_pb2.Array]:
    """List a message's arrays by their fields' names; those of latents by ``FIELD.INPUT``."""
    found: dict[str, tensor_pb2.Array] = {}
    for listed, value in message.ListFields():
        if isinstance(value, tensor_pb2.Array):
            found[listed.name] = value
        elif isinstance(value, originals_pb2.Latents):
            found |= {f"{listed.name}.{name}": array for name, array in value.inputs.items()}
    return found


@dataclass(frozen=True)
class Read:
    """The arrays of a reply that were read, as the codec takes them: by their names.

    Args:
        arrays: What `arrays_of` listed.
    """

    arrays: Arrays

    def __call__(self, array: tensor_pb2.Array, name: str, wanted: Any) -> Any:
        """Give an array in the element type that its field wants; files as a list.

        Raises:
            ReplyError: If it is missing, or numbers stand in for files.
        """
        found = self.arrays.get(name)
        if found is None:
            raise ReplyError(f"the server's reply has no array {name!r}")
        if _is_files(wanted):
            if found.dtype != np.object_:
                raise ReplyError(f"the server sent {name!r} as numbers, not as files")
            return [bytes(each) for each in found]
        dtype = _element_type(wanted)
        return found if dtype is None else found.astype(dtype, copy=False)


def _is_files(wanted: Any) -> bool:
    return wanted in (list[bytes], list[bytes] | None)


def _element_type(wanted: Any) -> Any:
    """The scalar type inside an annotation of an array; None where any will do."""
    if isinstance(wanted, type) and issubclass(wanted, np.generic):
        return None if wanted is np.generic else wanted
    found = (_element_type(part) for part in get_args(wanted))
    return next((each for each in found if each is not None), None)
