"""ModelService: models, and what they generate while the caller waits."""

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope.server.engine import (
    Catalogue,
    EditedPhotographs,
    Generator,
    Hybrids,
    Need,
    PairSource,
    Precision,
    Ran,
    edit_photographs,
    encodings_bytes,
    hybrids_bytes,
    samples_bytes,
)
from graftscope.server.errors import InvalidInput
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._calls import note
from graftscope.server.rpc._checks import page
from graftscope.server.rpc._explorer import Explorer
from graftscope.server.rpc._guard import Context
from graftscope.server.rpc._image_files import Encoding, encode_images, parse_encoding
from graftscope.server.rpc._interactive_runs import PHOTOGRAPHS, InteractiveRuns
from graftscope.server.rpc._model_calls import ModelCall, distinct_images
from graftscope.server.rpc._reading import Reading
from graftscope.server.rpc._registration import Registration
from graftscope.server.rpc._replies import execution, plain_execution
from graftscope.server.rpc._versions import precision
from graftscope.v1 import (
    model_service_pb2,
    model_service_pb2_grpc,
    precision_pb2,
)

# What one call may answer with; more is asked for in several.
_REPLY_LIMIT_BYTES = 256 * 2**20


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Answers from the catalogue.

    Args:
        catalogue: the models.
        arrays: reads and writes arrays.
        runs: makes what is asked for.
        reading: parses what is large off the event loop.
        registration: adds and removes models.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        arrays: Arrays,
        runs: InteractiveRuns,
        reading: Reading,
        registration: Registration,
    ) -> None:
        self._registration = registration
        self._reading = reading
        self._catalogue = catalogue
        self._arrays = arrays
        self._runs = runs
        self._explorer = Explorer(catalogue, arrays, runs)

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

    async def RegisterModel(
        self, request: model_service_pb2.RegisterModelRequest, context: Context
    ) -> model_service_pb2.RegisterModelResponse:
        """One more model."""
        generator = await self._registration.register(request.manifest_json)
        return model_service_pb2.RegisterModelResponse(model=_model(generator))

    async def DeleteModel(
        self, request: model_service_pb2.DeleteModelRequest, context: Context
    ) -> model_service_pb2.DeleteModelResponse:
        """One model less."""
        await self._registration.delete(request.name)
        return model_service_pb2.DeleteModelResponse()

    async def Generate(  # type: ignore[override]  # bytes are sent as they are
        self, request: model_service_pb2.GenerateRequest, context: Context
    ) -> bytes:
        """Images of samples; the response, serialised."""
        wanted = precision(request.precision)
        generator = self._catalogue.find(request.model)
        encoding = parse_encoding(request.encoding, generator.manifest.image)
        source, pairs, original = await self._reading.checked(
            request, self._call(generator).samples
        )
        note(pairs=len(pairs))
        _check_size(generator, len(pairs), images=1, called="samples")
        number = samples_bytes(generator, len(pairs), files=encoding is not None)
        await self._take(number, wanted, f"{len(pairs)} samples", "samples.count")
        ran = await self._runs.samples(generator, wanted, source, pairs, original)
        response = model_service_pb2.GenerateResponse(execution=_execution(generator, ran))
        await self._arrays.fill_latents(response.latents, ran.made.latents)
        return await self._with_images(response, {"images": ran.made.images}, encoding, generator)

    async def Encode(
        self, request: model_service_pb2.EncodeRequest, context: Context
    ) -> model_service_pb2.EncodeResponse:
        """Images to the posterior over the latents."""
        wanted = precision(request.precision)
        generator = self._catalogue.find(request.model)
        name = generator.encoder().input
        images = await self._call(generator).images(request.images)
        number = encodings_bytes(generator, len(images))
        await self._take(number, wanted, f"encoding {len(images)} images", "images")
        ran = await self._runs.posterior(generator, wanted, images)
        response = model_service_pb2.EncodeResponse(execution=_execution(generator, ran))
        response.log_variance.SetInParent()
        for field, array in zip(("mean", "log_variance"), ran.made, strict=False):
            await self._arrays.fill_latents(getattr(response, field), {name: array})
        return response

    async def Hybridize(  # type: ignore[override]  # bytes are sent as they are
        self, request: model_service_pb2.HybridizeRequest, context: Context
    ) -> bytes:
        """Both originals and the hybrid of every pair; the response, serialised."""
        wanted = precision(request.precision)
        generator = self._catalogue.find(request.model)
        encoding = parse_encoding(request.encoding, generator.manifest.image)
        intervention, source, pairs = await self._reading.checked(
            request, self._call(generator).hybrids
        )
        note(pairs=len(pairs))
        images = 5 if request.keep_photo else 3
        _check_size(generator, len(pairs), images, called="pairs")
        if request.keep_photo:
            _check_photographs(source)
        number = hybrids_bytes(
            generator,
            len(pairs),
            intervention,
            files=encoding is not None,
            photographs=request.keep_photo,
        )
        await self._take(
            number,
            wanted,
            f"hybrids of {len(pairs)} pair{'' if len(pairs) == 1 else 's'}",
            "pairs.count",
        )
        ran = await self._runs.hybrids(generator, wanted, intervention, source, pairs)
        response = model_service_pb2.HybridizeResponse(
            execution=_execution(generator, ran),
            distinct_images=await distinct_images(source, pairs),
        )
        given = vars(ran.made)
        if request.keep_photo:
            kept = await self._runs.run(lambda _: _edited(generator, source, pairs, ran.made))
            response.clipped = kept.clipped
            given = {**given, "photograph1": kept.photograph1, "edited": kept.edited}
        return await self._with_images(response, given, encoding, generator)

    async def Explore(  # type: ignore[override]  # bytes are sent as they are
        self, request_iterator: AsyncIterator[model_service_pb2.ExploreRequest], context: Context
    ) -> AsyncIterator[bytes]:
        """Hybrids of the same originals, of what was asked last; responses, serialised."""
        async with aclosing(self._explorer.replies(request_iterator)) as replies:
            async for reply in replies:
                yield reply

    async def _take(self, number: int, wanted: str, what: str, field: str) -> None:
        """Takes the memory of what is made, until the call is over."""
        # Another precision's difference is measured on the same samples in float32.
        number = number if wanted == Precision.FP32.value else 2 * number
        instead = f"ask for fewer {field.partition('.')[0]} in one call"
        await self._arrays.memory.take_in_call(Need(number, what, instead, field))

    def _call(self, generator: Generator) -> ModelCall:
        return ModelCall(self._catalogue, generator, self._arrays.for_one_call(), self._runs)

    async def _with_images(
        self,
        response: Message,
        images: Mapping[str, NDArray[np.float32]],
        encoding: Encoding | None,
        generator: Generator,
    ) -> bytes:
        """A response with images in some of its fields: as arrays, or as files."""
        if encoding is None:
            return await self._arrays.packed(response, images)
        for name, some in images.items():
            files = await self._files(some, encoding, generator)
            await self._arrays.fill_files(getattr(response, name), files)
        return response.SerializeToString()

    async def _files(
        self, images: NDArray[np.float32], encoding: Encoding, generator: Generator
    ) -> list[bytes]:
        image = generator.manifest.image
        return await self._runs.run(lambda _: encode_images(images, encoding, image))


def _model(generator: Generator) -> model_service_pb2.Model:
    manifest = generator.manifest
    return model_service_pb2.Model(name=f"models/{manifest.name}", bundle=manifest)


def _check_photographs(source: PairSource) -> None:
    if source.kind not in PHOTOGRAPHS:
        raise InvalidInput(
            f"keep_photo adds what changes to photographs, and originals are {source.kind}; "
            f"{' and '.join(PHOTOGRAPHS)} are allowed",
            field="keep_photo",
        )


def _edited(
    generator: Generator, source: PairSource, pairs: range, hybrids: Hybrids
) -> EditedPhotographs:
    photographs = source.photographs1(pairs)
    assert photographs is not None  # of their kind
    return edit_photographs(photographs, hybrids, generator.manifest.image)


def _execution(generator: Generator, ran: Ran[Any]) -> precision_pb2.Execution:
    digest = generator.manifest.digest
    note(device=ran.backend.memory)
    if ran.deviation is None:
        return plain_execution(digest, ran.backend)
    return execution(digest, ran.backend, deviation=ran.deviation)


def _check_size(generator: Generator, count: int, images: int, called: str) -> None:
    size = count * images * math.prod(generator.image_shape) * 4
    if size > _REPLY_LIMIT_BYTES:
        largest = _REPLY_LIMIT_BYTES * count // size
        raise InvalidInput(
            f"{count} {called} take {size / 2**20:.0f} MiB of images; at most {largest} are "
            f"allowed in one call: ask for fewer {called}",
            field=f"{called}.count",
        )
