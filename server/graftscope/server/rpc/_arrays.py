"""Arrays between messages and the artifact store.

It must not know what the arrays are for.
"""

from asyncio import to_thread
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import Latents
from graftscope.server.errors import InvalidInput, NotReady
from graftscope.server.jobs import ArrayRef, JobRunner, JobState, decode_array, encode_array
from graftscope.server.rpc._names import job_id
from graftscope.server.rpc._options import INLINE_LIMIT_BYTES
from graftscope.v1 import originals_pb2, tensor_pb2


@dataclass(frozen=True)
class Arrays:
    """Reads the arrays of requests and writes those of responses."""

    runner: JobRunner

    async def refer(self, array: tensor_pb2.Array, field: str) -> ArrayRef:
        """Names a request's array; an inline one is stored first.

        Raises:
            InvalidInput: the array is absent, too large to be inline, or malformed.
            NotFound: the artifact, operation or result array does not exist.
            NotReady: the operation has no result.
        """
        match array.WhichOneof("source"):
            case "tensor":
                return await to_thread(self.runner.artifacts.put, _decode(array.tensor, field))
            case "artifact":
                shape = tuple(array.artifact.shape)
                ref = ArrayRef(array.artifact.sha256, array.artifact.datatype, shape)
                self.runner.artifacts.check(ref, field)
                return ref
            case "result":
                return await self._result(array.result, field)
            case _:
                raise InvalidInput(
                    f"{field} is missing; a tensor, an artifact or a result is needed", field=field
                )

    async def read(self, array: tensor_pb2.Array, field: str) -> NDArray[np.generic]:
        """A request's array itself. Raises as `refer`, and Corrupt for damaged bytes."""
        if array.WhichOneof("source") == "tensor":
            return _decode(array.tensor, field)
        ref = await self.refer(array, field)
        return await to_thread(self.runner.artifacts.get, ref, field)

    async def read_latents(
        self, latents: originals_pb2.Latents, field: str
    ) -> dict[str, NDArray[np.generic]]:
        """Latents by the inputs' names. Raises as `read`."""
        return {
            name: await self.read(array, f"{field}[{name}]")
            for name, array in latents.inputs.items()
        }

    async def store(self, array: NDArray[np.generic]) -> ArrayRef:
        """Stores an array that was made here from a request."""
        return await to_thread(self.runner.artifacts.put, array)

    async def write(
        self, array: NDArray[np.generic], limit_bytes: int = INLINE_LIMIT_BYTES
    ) -> tensor_pb2.Array:
        """An array for a response: inline if it is small, else as an artifact."""
        if array.nbytes > limit_bytes:
            return describe(await to_thread(self.runner.artifacts.put, array))
        return tensor_pb2.Array(tensor=tensor(array))

    async def write_latents(self, latents: Latents) -> originals_pb2.Latents:
        """Latents by the inputs' names; however many there are, they fit into one message."""
        limit_bytes = INLINE_LIMIT_BYTES // max(1, len(latents))
        arrays = {name: await self.write(array, limit_bytes) for name, array in latents.items()}
        return originals_pb2.Latents(inputs=arrays)

    async def _result(self, result: tensor_pb2.OperationResult, field: str) -> ArrayRef:
        job = (await self.runner.get(job_id(result.operation, field))).job
        if job.result is None:
            state = JobState(job.state).name.lower()
            raise NotReady(
                f"operation {result.operation!r} is {state}, so it has no result yet", field=field
            )
        if result.array not in job.result.arrays:
            raise InvalidInput(
                f"operation {result.operation!r} has no array {result.array!r}; it has: "
                f"{', '.join(job.result.arrays)}",
                field=field,
            )
        ref = job.result.arrays[result.array]
        self.runner.artifacts.check(ref, field)
        return ref


def describe(ref: ArrayRef) -> tensor_pb2.Array:
    """An array by its checksum."""
    return tensor_pb2.Array(
        artifact=tensor_pb2.Artifact(sha256=ref.sha256, datatype=ref.datatype, shape=ref.shape)
    )


def tensor(array: NDArray[np.generic]) -> tensor_pb2.Tensor:
    """An array inside a message."""
    datatype, data = encode_array(array)
    return tensor_pb2.Tensor(datatype=datatype, shape=array.shape, data=data)


def _decode(message: tensor_pb2.Tensor, field: str) -> NDArray[np.generic]:
    if len(message.data) > INLINE_LIMIT_BYTES:
        raise InvalidInput(
            f"{field} is {len(message.data)} bytes inside the message; at most "
            f"{INLINE_LIMIT_BYTES} are allowed, larger arrays are sent with PutArtifact",
            field=field,
        )
    return decode_array(message.data, message.datatype, tuple(message.shape), field)
