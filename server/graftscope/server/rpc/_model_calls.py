"""Parses what is asked of a model while the caller waits, into values of the engine.

It must not know what is made of them.
"""

import asyncio
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import Catalogue, Generator, Intervention, PairSource
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import InterventionSpec, OriginalsSpec, Resolver
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._interactive_runs import PHOTOGRAPHS, InteractiveRuns, LateSource
from graftscope.server.rpc._interventions import InterventionRequests
from graftscope.server.rpc._pairs import PairRequests
from graftscope.v1 import intervention_pb2, model_service_pb2, originals_pb2, tensor_pb2


class ModelCall:
    """Parses one request, whose arrays nothing outlives.

    Args:
        catalogue: the models.
        generator: which of them is asked.
        arrays: those of this call.
        runs: encodes donors.
    """

    def __init__(
        self, catalogue: Catalogue, generator: Generator, arrays: Arrays, runs: InteractiveRuns
    ) -> None:
        self._generator = generator
        self._runs = runs
        self._arrays = arrays
        self._pair_requests = PairRequests(generator, arrays)
        self._resolver = Resolver(catalogue, arrays.store_of_call)

    async def images(self, message: tensor_pb2.Array) -> NDArray[np.uint8]:
        """Images to encode."""
        return await self._pair_requests.images(message, "images")

    async def samples(
        self, request: model_service_pb2.GenerateRequest
    ) -> tuple[PairSource, range, int]:
        """Pairs, and which of their originals is wanted, 1 or 2."""
        if request.original > 2:
            raise InvalidInput(
                f"original {request.original} is none of a pair: 1 or 2 is allowed",
                field="original",
            )
        if request.WhichOneof("latents_source") != "latents":
            _, source, pairs = await self.pairs(request.samples, "samples")
            return source, pairs, request.original or 1
        given = await self._pair_requests.latents(request.latents, "latents")
        refs, count = given
        both = {f"{which}/{x}": refs[x] for x in refs for which in ("latents1", "latents2")}
        return self._source(OriginalsSpec("latents", both), 0), range(count), 1

    async def hybrids(
        self, request: model_service_pb2.HybridizeRequest
    ) -> tuple[Intervention, PairSource, range]:
        """The intervention, and the pairs on which it is made."""
        edits = await self._edits(request.intervention, frozenset(request.pairs.fix.inputs))
        originals, source, pairs = await self.pairs(request.pairs, "pairs")
        return await self._resolved(edits, originals), source, pairs

    async def intervention(
        self,
        message: intervention_pb2.Intervention,
        originals: OriginalsSpec,
        fixed: frozenset[str],
    ) -> Intervention:
        """An intervention on pairs that were parsed before.

        Args:
            message: the intervention.
            originals: where those pairs come from.
            fixed: names of the inputs that they fix.
        """
        return await self._resolved(await self._edits(message, fixed), originals)

    async def _edits(
        self, message: intervention_pb2.Intervention, fixed: frozenset[str]
    ) -> InterventionSpec:
        requests = InterventionRequests(self._generator, self._arrays, fixed)
        return await requests.intervention(message)

    async def _resolved(self, edits: InterventionSpec, originals: OriginalsSpec) -> Intervention:
        resolve = self._resolver.intervention
        if all(edit.is_plain for edit in edits):
            return resolve(self._generator, edits, originals)
        # Arrays are read and donors encoded.
        return await self._runs.run(lambda _: resolve(self._generator, edits, originals))

    async def pairs(
        self, message: originals_pb2.Pairs, called: str
    ) -> tuple[OriginalsSpec, PairSource, range]:
        """Pairs, and where they come from."""
        chosen = await replace(self._pair_requests, called=called).pairs(message)
        pairs = range(chosen.first, chosen.first + chosen.pairs)
        return chosen.originals, self._source(chosen.originals, chosen.seed), pairs

    def _source(self, originals: OriginalsSpec, seed: int) -> PairSource:
        find = self._resolver.pairs
        return LateSource(originals.kind, lambda: find(self._generator, originals, seed))


async def distinct_images(source: PairSource, pairs: range) -> int:
    """How many different photographs some pairs are of; 0 where they are of none."""
    if source.kind not in PHOTOGRAPHS:
        return 0
    return await asyncio.to_thread(source.distinct_images, pairs)
