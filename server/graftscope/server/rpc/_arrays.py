"""Arrays between messages and the artifact store.

It must not know what the arrays are for.
"""

from asyncio import to_thread
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope import codec
from graftscope.codec import INLINE_LIMIT_BYTES
from graftscope.server.engine import Latents, MemoryBudget, Need
from graftscope.server.errors import InvalidInput, NotReady
from graftscope.server.jobs import (
    ArrayRef,
    ArtifactStore,
    JobRunner,
    JobState,
    Result,
    Scratch,
    check_sha256,
    decode_array,
)
from graftscope.server.rpc._belongings import Belongings
from graftscope.server.rpc._checks import job_id
from graftscope.v1 import originals_pb2, tensor_pb2


@dataclass(frozen=True)
class Arrays:
    """Reads the arrays of requests and writes those of responses.

    Attributes:
        runner: knows where arrays are stored.
        belongings: which results and arrays are the caller's.
        scratch: where a request's own arrays are kept if nothing outlives the call; None to store
            them.
    """

    runner: JobRunner
    belongings: Belongings
    scratch: Scratch | None = None

    @property
    def memory(self) -> MemoryBudget:
        """What calls take for arrays that they read, and for what they make."""
        return self.runner.memory

    @property
    def store_of_call(self) -> ArtifactStore:
        """Where a request's arrays are found again."""
        return self.scratch or self.runner.artifacts

    def for_one_call(self) -> "Arrays":
        """The same for a call that nothing outlives."""
        return replace(self, scratch=Scratch(self.store_of_call))

    async def refer(self, array: tensor_pb2.Array, field: str) -> ArrayRef:
        """Names a request's array; an inline one is stored first.

        Raises:
            InvalidInput: the array is absent, too large to be inline, or malformed.
            NotFound: the artifact, operation or result array does not exist.
            NotReady: the operation has no result.
        """
        match array.WhichOneof("source"):
            case "tensor":
                return await self.store(_decode(array.tensor, field))
            case "artifact":
                shape = tuple(array.artifact.shape)
                ref = ArrayRef(array.artifact.sha256, array.artifact.datatype, shape)
                check_sha256(ref.sha256, field)
                await self.belongings.check_array(ref.sha256, field)
                await to_thread(self.runner.artifacts.check, ref, field)
                return ref
            case "result":
                return await self._result(array.result, field)
            case _:
                raise InvalidInput(
                    f"{field} is missing; a tensor, an artifact or a result is needed", field=field
                )

    async def beside(
        self, array: tensor_pb2.Array, names: Sequence[str], field: str
    ) -> dict[str, ArrayRef]:
        """Other arrays of the result that an array is of; those that it has. Raises as `refer`."""
        if array.WhichOneof("source") != "result":
            return {}
        known = (await self._job(array.result, field)).arrays
        found = {name: known[name] for name in names if name in known}
        for ref in found.values():
            await to_thread(self.runner.artifacts.check, ref, field)
        return found

    async def read(self, array: tensor_pb2.Array, field: str) -> NDArray[np.generic]:
        """A request's array itself; a stored one takes memory until the call is over.

        Raises as `refer`, Corrupt for damaged bytes, and as `MemoryBudget.take_in_call`.
        """
        if array.WhichOneof("source") == "tensor":
            return _decode(array.tensor, field)
        ref = await self.refer(array, field)
        await self.memory.take_in_call(_reading(ref, field))
        return await to_thread(self.store_of_call.get, ref, field)

    async def read_latents(
        self, latents: originals_pb2.Latents, field: str
    ) -> dict[str, NDArray[np.generic]]:
        """Latents by the inputs' names. Raises as `read`."""
        return {
            name: await self.read(array, f"{field}[{name}]")
            for name, array in latents.inputs.items()
        }

    async def store(self, array: NDArray[np.generic]) -> ArrayRef:
        """Stores an array that is part of a request, or was made from one."""
        if self.scratch is not None:
            return self.scratch.put(array)
        return await to_thread(self.runner.artifacts.put, array)

    async def fill(
        self,
        message: tensor_pb2.Array,
        array: NDArray[np.generic],
        limit_bytes: int = INLINE_LIMIT_BYTES,
    ) -> None:
        """Puts an array into a response: inline if it is small, else as an artifact.

        Where it belongs is filled in place: protobuf would copy a message that was made apart,
        twice for every message around it.
        """
        if array.nbytes > limit_bytes:
            # Whoever asked reads it at once, and can ask again: no need to wait for the disk.
            put = partial(self.runner.artifacts.put, array, durable=False)
            ref = await to_thread(put)
            await self.belongings.grant_array(ref.sha256)
            message.artifact.CopyFrom(describe(ref).artifact)
        else:
            codec.fill_tensor(message.tensor, array)

    async def packed(self, message: Message, arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
        """A response, serialised, with arrays in some of its fields as `fill` would put them there.

        Args:
            message: all but these fields.
            arrays: by the fields' names.
        """
        small = dict[str, NDArray[np.generic]]()
        for name, array in arrays.items():
            if array.nbytes > INLINE_LIMIT_BYTES:
                await self.fill(getattr(message, name), array)
            else:
                small[name] = array
        return codec.packed(message, small)

    async def fill_files(self, message: tensor_pb2.Array, files: Sequence[bytes]) -> None:
        """Puts files into a response as KServe packs them: each after its length in four bytes."""
        data = codec.encode_files(files)
        if len(data) > INLINE_LIMIT_BYTES:
            put = partial(self.runner.artifacts.put_bytes, data, durable=False)
            ref = ArrayRef(await to_thread(put), codec.FILES, (len(files),))
            await self.belongings.grant_array(ref.sha256)
            message.artifact.CopyFrom(describe(ref).artifact)
        else:
            message.tensor.datatype, message.tensor.data = codec.FILES, data
            message.tensor.shape.append(len(files))

    async def fill_latents(self, message: originals_pb2.Latents, latents: Latents) -> None:
        """Latents by the inputs' names; however many there are, they fit into one message."""
        limit_bytes = INLINE_LIMIT_BYTES // max(1, len(latents))
        for name, array in latents.items():
            await self.fill(message.inputs[name], array, limit_bytes)

    async def _result(self, result: tensor_pb2.OperationResult, field: str) -> ArrayRef:
        arrays = (await self._job(result, field)).arrays
        if result.array not in arrays:
            raise InvalidInput(
                f"operation {result.operation!r} has no array {result.array!r}; it has: "
                f"{', '.join(arrays)}",
                field=field,
            )
        ref = arrays[result.array]
        await to_thread(self.runner.artifacts.check, ref, field)
        return ref

    async def _job(self, result: tensor_pb2.OperationResult, field: str) -> Result:
        """What a job gave, once it is done."""
        job = (await self.belongings.job(job_id(result.operation, field))).job
        if job.result is None:
            state = JobState(job.state).name.lower()
            raise NotReady(
                f"operation {result.operation!r} is {state}, so it has no result yet", field=field
            )
        return job.result


def _reading(ref: ArrayRef, field: str) -> Need:
    """What reading an array takes: its bytes, and half as much while they are checked."""
    number = codec.size_bytes(ref.datatype, ref.shape)
    what = f"reading {field} of shape {list(ref.shape)}"
    return Need(number + number // 2, what, "give less of it in one call", field)


def describe(ref: ArrayRef) -> tensor_pb2.Array:
    """An array by its checksum."""
    return codec.artifact(ref.sha256, ref.datatype, ref.shape)


def _decode(message: tensor_pb2.Tensor, field: str) -> NDArray[np.generic]:
    # Every reading of a field of bytes copies them.
    data = message.data
    if len(data) > INLINE_LIMIT_BYTES:
        raise InvalidInput(
            f"{field} is {len(data)} bytes inside the message; at most "
            f"{INLINE_LIMIT_BYTES} are allowed, larger arrays are sent with PutArtifact",
            field=field,
        )
    return decode_array(data, message.datatype, tuple(message.shape), field)
