"""Artifacts in chunks: cutting, putting together, and checking on the way."""

import hashlib
from collections.abc import Iterator

import google_crc32c

from graftscope.client.errors import IntegrityError, ReplyError
from graftscope.client.wire._tensors import (
    FILES,
    AnyArray,
    Packed,
    size_bytes,
    unpack,
)
from graftscope.v1 import artifact_service_pb2, tensor_pb2

CHUNK_BYTES = 1 << 20


def upload_requests(packed: Packed) -> Iterator[artifact_service_pb2.PutArtifactRequest]:
    """Cut an array into the messages of one upload: the descriptor, then the bytes in order."""
    yield artifact_service_pb2.PutArtifactRequest(artifact=packed.to_artifact())
    for start in range(0, packed.data.nbytes, CHUNK_BYTES):
        data = bytes(packed.data[start : start + CHUNK_BYTES])
        chunk = artifact_service_pb2.Chunk(data=data, crc32c=google_crc32c.value(data))
        yield artifact_service_pb2.PutArtifactRequest(chunk=chunk)


class Assembly:
    """Puts one artifact together from the messages of one or several downloads.

    Args:
        artifact: Descriptor of what is being read.
    """

    def __init__(self, artifact: tensor_pb2.Artifact) -> None:
        self._artifact = artifact
        # How large files are is told with the first of their bytes.
        files = artifact.datatype == FILES
        self._expected = None if files else size_bytes(artifact.datatype, artifact.shape)
        self._data = bytearray()

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
