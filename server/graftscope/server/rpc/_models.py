"""ModelService: models, and what they generate while the caller waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import (
    Cancellation,
    Catalogue,
    Generator,
    Hybrids,
    Intervention,
    Latents,
    PairSource,
    assign,
    choose_plan,
    to_range,
)
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import OriginalsSpec, Resolver
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._guard import Context
from graftscope.server.rpc._paging import page
from graftscope.server.rpc._requests import Requests
from graftscope.server.rpc._responses import execution
from graftscope.server.rpc._unimplemented import check_encoding, check_precision
from graftscope.v1 import model_service_pb2, model_service_pb2_grpc, originals_pb2

# What one call may answer with; more is asked for in several.
_REPLY_LIMIT_BYTES = 256 * 2**20
# Samples a run: fewer where a tensor of one of them is large.
_BATCH = 32
_BATCH_BYTES = 256 * 2**20


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Answers from the catalogue.

    Args:
        catalogue: the models.
        requests: parses requests.
        resolver: finds what specifications name.
        arrays: reads and writes arrays.
        executor: where sessions run, off the event loop.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        requests: Requests,
        resolver: Resolver,
        arrays: Arrays,
        executor: Executor,
    ) -> None:
        self._catalogue = catalogue
        self._requests = requests
        self._resolver = resolver
        self._arrays = arrays
        self._executor = executor

    async def ListModels(
        self, request: model_service_pb2.ListModelsRequest, context: Context
    ) -> model_service_pb2.ListModelsResponse:
        """All models, by name."""
        limit, offset = page(request.page_size, request.page_token)
        generators = sorted(self._catalogue.generators.items())[offset:]
        models = [_model(generator) for _, generator in generators[:limit]]
        token = str(offset + limit) if len(generators) > limit else ""
        return model_service_pb2.ListModelsResponse(models=models, next_page_token=token)

    async def GetModel(
        self, request: model_service_pb2.GetModelRequest, context: Context
    ) -> model_service_pb2.GetModelResponse:
        """One model."""
        return model_service_pb2.GetModelResponse(model=_model(self._catalogue.find(request.name)))

    async def Generate(
        self, request: model_service_pb2.GenerateRequest, context: Context
    ) -> model_service_pb2.GenerateResponse:
        """Images of samples."""
        check_precision(request.precision)
        check_encoding(request.encoding)
        generator = self._catalogue.find(request.model)
        source, pairs = await self._samples(generator, request)
        _check_size(generator, len(pairs), images=1)
        latents, images = await self._run(_generate, generator, source, pairs)
        return model_service_pb2.GenerateResponse(
            images=await self._arrays.write(images),
            latents=await self._arrays.write_latents(latents),
            execution=execution(generator.manifest.digest, generator.provider),
        )

    async def Encode(
        self, request: model_service_pb2.EncodeRequest, context: Context
    ) -> model_service_pb2.EncodeResponse:
        """Images to the posterior over the latents."""
        check_precision(request.precision)
        generator = self._catalogue.find(request.model)
        name = generator.encoder().input
        images = await self._requests.pairs.images(generator, request.images, "images")
        mean, log_variance = await self._run(_encode, generator, images)
        return model_service_pb2.EncodeResponse(
            mean=await self._arrays.write_latents({name: mean}),
            log_variance=await self._arrays.write_latents({name: log_variance}),
            execution=execution(generator.manifest.digest, generator.provider),
        )

    async def Hybridize(
        self, request: model_service_pb2.HybridizeRequest, context: Context
    ) -> model_service_pb2.HybridizeResponse:
        """Both originals and the hybrid of every pair."""
        check_precision(request.precision)
        check_encoding(request.encoding)
        generator = self._catalogue.find(request.model)
        intervention, source, pairs = await self._asked(generator, request)
        _check_size(generator, len(pairs), images=3)
        hybrids = await self._run(_hybridize, generator, intervention, source, pairs)
        return model_service_pb2.HybridizeResponse(
            original1=await self._arrays.write(hybrids.original1),
            original2=await self._arrays.write(hybrids.original2),
            hybrid=await self._arrays.write(hybrids.hybrid),
            execution=execution(generator.manifest.digest, generator.provider),
            distinct_images=source.distinct_images(pairs),
        )

    async def _samples(
        self, generator: Generator, request: model_service_pb2.GenerateRequest
    ) -> tuple[PairSource, range]:
        if request.WhichOneof("latents_source") != "latents":
            _, source, pairs = await self._pairs(generator, request.samples)
            return source, pairs
        refs, count = await self._requests.pairs.latents(generator, request.latents, "latents")
        given = {f"{which}/{x}": refs[x] for x in refs for which in ("latents1", "latents2")}
        originals = OriginalsSpec("latents", given)
        source = await asyncio.to_thread(self._resolver.pairs, generator, originals, 0)
        return source, range(count)

    async def _asked(
        self, generator: Generator, request: model_service_pb2.HybridizeRequest
    ) -> tuple[Intervention, PairSource, range]:
        """The intervention, and the pairs on which it is made."""
        parse = self._requests.interventions.intervention
        edits = await parse(generator, request.intervention, request.pairs.fix.inputs)
        originals, source, pairs = await self._pairs(generator, request.pairs)
        resolve = self._resolver.intervention
        return await asyncio.to_thread(resolve, generator, edits, originals), source, pairs

    async def _pairs(
        self, generator: Generator, message: originals_pb2.Pairs
    ) -> tuple[OriginalsSpec, PairSource, range]:
        originals, count, seed = await self._requests.pairs.pairs(generator, message)
        source = await asyncio.to_thread(self._resolver.pairs, generator, originals, seed)
        return originals, source, range(message.first, message.first + count)

    async def _run(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Runs off the event loop; what nobody waits for any more is stopped."""
        cancellation = Cancellation()
        work = partial(function, *arguments, cancellation)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except asyncio.CancelledError:
            cancellation.cancel()
            raise


def _model(generator: Generator) -> model_service_pb2.Model:
    manifest = generator.manifest
    return model_service_pb2.Model(name=f"models/{manifest.name}", bundle=manifest)


def _check_size(generator: Generator, count: int, images: int) -> None:
    size = count * images * int(np.prod(generator.image_shape)) * 4
    if size > _REPLY_LIMIT_BYTES:
        largest = _REPLY_LIMIT_BYTES * count // size
        raise InvalidInput(
            f"{count} samples take {size / 2**20:.0f} MiB of images; at most {largest} are "
            "allowed in one call, ask for the rest with pairs.first",
            field="pairs.count",
        )


def _batches(pairs: range, size: int) -> list[range]:
    return [
        range(start, min(start + size, pairs.stop))
        for start in range(pairs.start, pairs.stop, size)
    ]


def _generate(
    generator: Generator, source: PairSource, pairs: range, cancellation: Cancellation
) -> tuple[Latents, NDArray[np.float32]]:
    size = max(1, min(_BATCH, _BATCH_BYTES // generator.widest_bytes()))
    batches = [source.latents(batch)[0] for batch in _batches(pairs, size)]
    images = np.concatenate([generator.generate(latents, cancellation) for latents in batches])
    return {name: np.concatenate([x[name] for x in batches]) for name in batches[0]}, images


def _encode(
    generator: Generator, images: NDArray[np.uint8], cancellation: Cancellation
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    image = generator.manifest.image
    batches = [images[i : i + _BATCH] for i in range(0, len(images), _BATCH)]
    parts = [generator.encode(to_range(batch, image), cancellation) for batch in batches]
    mean, log_variance = (np.concatenate(column) for column in zip(*parts, strict=True))
    return mean, log_variance


def _hybridize(
    generator: Generator,
    intervention: Intervention,
    source: PairSource,
    pairs: range,
    cancellation: Cancellation,
) -> Hybrids:
    first = min((edit.layer for edit in intervention), key=lambda x: x.height * x.width)
    batch = choose_plan(generator, first, 1).batch
    parts = []
    for some in _batches(pairs, batch):
        cancellation.check()
        parts.append(assign(generator, intervention, *source.latents(some), cancellation))
    names = ("original1", "original2", "hybrid")
    return Hybrids(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
