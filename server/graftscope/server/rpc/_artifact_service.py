"""ArtifactService: arrays that are too large for a message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import google_crc32c

from graftscope.codec import CHUNK_BYTES
from graftscope.server.errors import Corrupt, InvalidInput, TimedOut, UploadIdle
from graftscope.server.jobs import ArtifactStore, ArtifactWriter, array_bytes, check_sha256
from graftscope.server.rpc._belongings import Belongings
from graftscope.server.rpc._guard import Context
from graftscope.v1 import artifact_service_pb2, artifact_service_pb2_grpc, tensor_pb2

MAX_ARTIFACT_BYTES = 2 * 2**30


class ArtifactServicer(artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Stores and sends bytes in chunks, each with its checksum.

    Args:
        artifacts: where they are kept.
        belongings: which are the caller's.
    """

    def __init__(self, artifacts: ArtifactStore, belongings: Belongings) -> None:
        self._artifacts, self._belongings = artifacts, belongings

    async def PutArtifact(
        self,
        request_iterator: AsyncIterator[artifact_service_pb2.PutArtifactRequest],
        context: Context,
    ) -> artifact_service_pb2.PutArtifactResponse:
        """Stores bytes whose sha256 is told first."""
        first = await _next(request_iterator) or artifact_service_pb2.PutArtifactRequest()
        if first.WhichOneof("part") != "artifact":
            raise InvalidInput("the first message must hold the artifact", field="artifact")
        check_sha256(first.artifact.sha256, "artifact")
        size = _declared_bytes(first.artifact)
        with self._artifacts.writer() as writer:
            while request := await _next(request_iterator):
                await asyncio.to_thread(_append, writer, request, size)
            await asyncio.to_thread(_finish, writer, first.artifact)
        await self._belongings.grant_array(first.artifact.sha256)
        return artifact_service_pb2.PutArtifactResponse(artifact=first.artifact)

    async def ReadArtifact(
        self, request: artifact_service_pb2.ReadArtifactRequest, context: Context
    ) -> AsyncIterator[artifact_service_pb2.ReadArtifactResponse]:
        """Sends an artifact's bytes from an offset."""
        check_sha256(request.sha256, "sha256")
        await self._belongings.check_array(request.sha256, "sha256")
        with ExitStack() as open_files:
            artifact = self._artifacts.open(request.sha256)
            reader = await asyncio.to_thread(open_files.enter_context, artifact)
            if request.offset > reader.size:
                raise InvalidInput(
                    f"offset is {request.offset}; the artifact has {reader.size} bytes",
                    field="offset",
                )
            end = max(reader.size, request.offset + 1)
            for offset in range(request.offset, end, CHUNK_BYTES):
                data = await asyncio.to_thread(reader.read, offset, CHUNK_BYTES)
                yield artifact_service_pb2.ReadArtifactResponse(
                    chunk=artifact_service_pb2.Chunk(data=data, crc32c=google_crc32c.value(data)),
                    total_bytes=reader.size,
                )


async def _next(
    requests: AsyncIterator[artifact_service_pb2.PutArtifactRequest],
) -> artifact_service_pb2.PutArtifactRequest | None:
    """The next message, or None after the last.

    Raises:
        UploadIdle: none came for too long.
    """
    try:
        return await anext(requests, None)
    except TimedOut as error:
        raise UploadIdle(
            "the upload has sent nothing for too long and was ended; send the artifact again"
        ) from error


def _declared_bytes(artifact: tensor_pb2.Artifact) -> int:
    """How large the artifact says that it is, before any of its bytes is stored."""
    size = array_bytes(artifact.datatype, tuple(artifact.shape), "artifact")
    if size > MAX_ARTIFACT_BYTES:
        raise InvalidInput(
            f"the artifact takes {size} bytes; at most {MAX_ARTIFACT_BYTES} are allowed",
            field="artifact",
        )
    return size


def _append(
    writer: ArtifactWriter, request: artifact_service_pb2.PutArtifactRequest, size: int
) -> None:
    if request.WhichOneof("part") != "chunk":
        raise InvalidInput("every message but the first must hold a chunk", field="chunk")
    chunk = request.chunk
    if len(chunk.data) > CHUNK_BYTES:
        raise InvalidInput(
            f"a chunk holds {len(chunk.data)} bytes; at most {CHUNK_BYTES} are allowed",
            field="chunk",
        )
    if writer.size + len(chunk.data) > size:
        raise InvalidInput(
            f"more bytes are sent than the {size} of the artifact's datatype and shape",
            field="chunk",
        )
    if google_crc32c.value(chunk.data) != chunk.crc32c:
        raise Corrupt(
            f"the chunk at offset {writer.size} does not match its crc32c; send the artifact again",
            field="chunk",
        )
    writer.write(chunk.data)


def _finish(writer: ArtifactWriter, artifact: tensor_pb2.Artifact) -> None:
    sha256 = writer.digest
    if sha256 != artifact.sha256:
        raise Corrupt(
            f"the bytes have sha256 {sha256}, not {artifact.sha256}; send the artifact again",
            field="artifact",
        )
    writer.finish()
