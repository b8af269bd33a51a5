"""The protocol's six methods: parse, call one function, build the reply."""

import asyncio
from collections.abc import Callable
from functools import partial
from importlib import metadata

from graftscope.inference.v2 import inference_service_pb2 as messages
from graftscope.inference.v2 import inference_service_pb2_grpc
from graftscope.server.engine import (
    Catalogue,
    MemoryBudget,
    Need,
    Tensor,
)
from graftscope.server.errors import NotFound
from graftscope.server.inference._making import made_bytes, make
from graftscope.server.inference._named import Named, Signature, find
from graftscope.server.inference._tensors import (
    Arrays,
    check_size,
    datatype,
    inputs_of,
    outputs_of,
    response,
    rows_of,
    size_of,
)
from graftscope.server.rpc import Context, InteractiveRuns, Reading, note

_NAME = "graftscope"
_PLATFORM = "onnxruntime_onnx"
_REPLY_COPIES = 2
"""The response, serialised, and gRPC's own copy of it."""


class InferenceServicer(inference_service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers from the catalogue.

    Args:
        catalogue: the models.
        memory: what calls take.
        runs: makes what is asked for.
        reading: parses what is large off the event loop.
        is_ready: whether the server takes on new work.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        memory: MemoryBudget,
        runs: InteractiveRuns,
        reading: Reading,
        is_ready: Callable[[], bool],
    ) -> None:
        self._catalogue, self._memory = catalogue, memory
        self._runs, self._reading, self._is_ready = runs, reading, is_ready

    async def ServerLive(
        self, request: messages.ServerLiveRequest, context: Context
    ) -> messages.ServerLiveResponse:
        """Whoever is answered knows."""
        return messages.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: messages.ServerReadyRequest, context: Context
    ) -> messages.ServerReadyResponse:
        """Whether new work is taken on: not by a server that stops."""
        return messages.ServerReadyResponse(ready=self._is_ready())

    async def ModelReady(
        self, request: messages.ModelReadyRequest, context: Context
    ) -> messages.ModelReadyResponse:
        """Whether there is such a model, and the server takes on new work."""
        try:
            find(self._catalogue, request.name, request.version)
        except NotFound:
            return messages.ModelReadyResponse(ready=False)
        return messages.ModelReadyResponse(ready=self._is_ready())

    async def ServerMetadata(
        self, request: messages.ServerMetadataRequest, context: Context
    ) -> messages.ServerMetadataResponse:
        """Name and version."""
        return messages.ServerMetadataResponse(name=_NAME, version=metadata.version(_NAME))

    async def ModelMetadata(
        self, request: messages.ModelMetadataRequest, context: Context
    ) -> messages.ModelMetadataResponse:
        """What a model takes and gives."""
        named = find(self._catalogue, request.name, request.version)
        signature = await asyncio.to_thread(named.signature)
        return messages.ModelMetadataResponse(
            name=named.name,
            versions=[named.version],
            platform=_PLATFORM,
            inputs=map(_described, signature.inputs),
            outputs=map(_described, signature.outputs),
            properties=_properties(named, signature),
        )

    async def ModelInfer(  # type: ignore[override]  # bytes are sent as they are
        self, request: messages.ModelInferRequest, context: Context
    ) -> bytes:
        """Runs a model; the response, serialised."""
        named = find(self._catalogue, request.model_name, request.model_version)
        signature = await asyncio.to_thread(named.signature)
        outputs = outputs_of(request, named, signature)
        given = await self._reading.checked(request, partial(_given, named, signature))
        samples = rows_of(given, signature)
        layer = named.cut.name if named.cut else None
        note(layer=layer, pairs=samples, device=named.generator.backend.memory)
        reply = check_size(outputs, samples)
        making = made_bytes(named, given, samples, size_of(signature.outputs, samples))
        what = f"{samples} samples of {named.name}"
        number = making + _REPLY_COPIES * reply
        need = Need(number, what, "ask for fewer samples in one call", "inputs")
        await self._memory.take_in_call(need)
        made = await make(named, given, samples, self._runs)
        return await asyncio.to_thread(response, request, named, outputs, made)


async def _given(named: Named, signature: Signature, request: messages.ModelInferRequest) -> Arrays:
    return inputs_of(request, named, signature)


def _described(tensor: Tensor) -> messages.ModelMetadataResponse.TensorMetadata:
    return messages.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=datatype(tensor), shape=tensor.shape
    )


def _properties(named: Named, signature: Signature) -> dict[str, str]:
    image = named.generator.manifest.image
    told = {"low": f"{image.low:g}", "high": f"{image.high:g}"}
    if signature.optional:
        told["optional_inputs"] = ",".join(
            x.name for x in signature.inputs if x.name in signature.optional
        )
    if named.cut is not None:
        told |= {"layer": named.layer.name, "channels": str(named.layer.channels)}
    return told
