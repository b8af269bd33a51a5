"""Partial results: what an influence job has come to, on request.

It must not know what sums are made of, or how answers are kept from taking long.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope import codec
from graftscope.codec import INLINE_LIMIT_BYTES
from graftscope.server.analysis import ShardGroups
from graftscope.server.engine import Need
from graftscope.server.jobs import (
    Attempt,
    Beside,
    InfluenceSpec,
    Job,
    JobRunner,
    Layer,
    Live,
    Material,
    ModulesQuestion,
    ModulesSoFar,
    Result,
    Snapshot,
    SoFar,
    parse_spec,
    require_influence,
    result_arrays,
    result_scalars,
)
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._partial_modules import TOO_EARLY, arrays_of
from graftscope.server.rpc._replies import response, told
from graftscope.v1 import analysis_service_pb2, tensor_pb2

_RESULT = "result"

# Each array of a message may be so large inside it, of which there are at most so many.
_INLINE_BYTES = INLINE_LIMIT_BYTES // 16

# Of maps, while a result is made of sums: standard errors, and what they are computed from.
_COPIES = 4


class Partials:
    """Answers with partial results.

    Args:
        runner: knows the jobs.
        arrays: writes arrays.
    """

    def __init__(self, runner: JobRunner, arrays: Arrays) -> None:
        self._runner, self._arrays = runner, arrays
        self._so_fars, self._memory = runner.so_fars, runner.memory

    async def result(
        self, snapshot: Snapshot, asked: ModulesQuestion | None
    ) -> analysis_service_pb2.PartialResultResponse:
        """What a job has come to, at once.

        Raises:
            InvalidInput: it is no influence.
            NotReady: none of its shards is done.
        """
        require_influence(snapshot.job)
        message = analysis_service_pb2.PartialResultResponse()
        message.operation.CopyFrom(await told(snapshot))
        message.operation.ClearField("response")
        if (result := snapshot.job.result) is not None:
            message.influence.CopyFrom(_influence_of(result))
            if asked is not None:
                material = self._stored(snapshot.job, result)
                await self._fill(message.modules, asked, await self._found(asked, material))
            return message
        so_far = await self._so_fars.of(snapshot.job)
        live = None if so_far.from_checkpoint else self._so_fars.live(snapshot.job.id)
        message.from_checkpoint = so_far.from_checkpoint
        message.influence.CopyFrom(await self._influence(so_far, live))
        if asked is not None and live is not None:
            await self._fill_beside(message.modules, asked, so_far, live.beside)
        elif asked is not None:
            material = Material.of(so_far.work.spec, so_far.sums)
            await self._fill(message.modules, asked, await self._found(asked, material))
        return message

    async def _influence(
        self, so_far: SoFar, live: Live | None
    ) -> analysis_service_pb2.InfluenceResponse:
        """The result as it would be by now; where there is no time to make it anew, as it was."""
        if live is None:
            return await self._of_sums(so_far)

        async def make(attempt: Attempt) -> analysis_service_pb2.InfluenceResponse:
            # In several threads, and with waits: more than it computes.
            with attempt.timed(time.monotonic):
                return await self._of_sums(so_far)

        with live.beside.asking(_RESULT) as asked:
            live.beside.consider(asked, so_far.sums.shards, make, first_at_once=True)
            answer = await live.beside.settled(asked)
        assert answer is not None
        message: analysis_service_pb2.InfluenceResponse = answer.value
        for _, value in message.ListFields():
            if isinstance(value, tensor_pb2.Array) and value.WhichOneof("source") == "artifact":
                await self._arrays.belongings.grant_array(value.artifact.sha256)
        return message

    async def _of_sums(self, so_far: SoFar) -> analysis_service_pb2.InfluenceResponse:
        work, sums = so_far.work, so_far.sums
        number = _COPIES * sums.moments.mean.nbytes
        need = Need(number, "a partial result", "ask again when the operation is done", "name")
        async with self._memory.held_in_call(need):
            scalars = await asyncio.to_thread(result_scalars, work, sums)
            message = _influence_of(Result(scalars=scalars))
            await self._put(message, await asyncio.to_thread(result_arrays, work.spec, sums))
        return message

    async def _fill_beside(
        self,
        message: analysis_service_pb2.ModulesSoFar,
        question: ModulesQuestion,
        so_far: SoFar,
        beside: Beside,
    ) -> None:
        """The modules that there is time for."""
        with beside.asking(question) as asked:
            self._so_fars.consider_modules(asked, question, so_far, beside)
            answer = await beside.settled(asked)
            if answer is not None:
                await self._fill(message, question, answer.value)
            if answer is None or answer.shards != so_far.sums.shards:
                message.skipped = asked.put_off or TOO_EARLY

    async def _found(self, question: ModulesQuestion, material: Material) -> ModulesSoFar:
        """Modules of a job that does not run here, beside which there is no time to be saved."""
        finder = self._so_fars.finder
        async with finder.turn:
            return await finder.find(question, material)

    async def _fill(
        self,
        message: analysis_service_pb2.ModulesSoFar,
        question: ModulesQuestion,
        found: ModulesSoFar,
    ) -> None:
        message.pairs = found.pairs
        for layer in found.named_as(question.named_as).layers:
            told = message.layers.add(layer=layer.name, failure=layer.failure)
            if layer.modules is not None:
                said = {"method": question.method, "seeds_agreeing": 1}
                said["confidence_unknown"] = layer.confidence_unknown
                codec.fill(told.modules, said, codec.inline)
                await self._put(told.modules, arrays_of(layer))

    async def _put(self, message: Message, found: Mapping[str, NDArray[np.generic]]) -> None:
        for name, array in found.items():
            await self._arrays.fill(getattr(message, name), array, _INLINE_BYTES)

    def _stored(self, job: Job, result: Result) -> Material:
        """What modules are found in, of a job that is done."""
        spec, pairs, maps = parse_spec(job.specification), result.scalars["pairs"], "maps"
        assert isinstance(spec, InfluenceSpec)
        assert isinstance(pairs, int)
        _, height, width = result.arrays[maps].shape

        def read(name: str) -> NDArray[Any]:
            return self._runner.artifacts.get(result.arrays[name], name)

        def floats(name: str) -> NDArray[np.float64]:
            return read(name).astype(np.float64, copy=False)

        def groups() -> ShardGroups | None:
            names = ("group_maps", "group_pairs", "group_units")
            return ShardGroups(*map(read, names)) if names[0] in result.arrays else None

        def product_groups() -> ShardGroups | None:
            if "group_products" not in result.arrays:
                return None
            return ShardGroups.of_products(read("group_products"), read("group_pairs"))

        return Material(
            spec,
            pairs,
            (height, width),
            lambda: Layer(
                "",
                floats(maps),
                floats("products") if "products" in result.arrays else None,
                groups(),
                product_groups(),
            ),
        )


def _influence_of(result: Result) -> analysis_service_pb2.InfluenceResponse:
    message = response(InfluenceSpec.analysis, result)
    assert isinstance(message, analysis_service_pb2.InfluenceResponse)
    return message
