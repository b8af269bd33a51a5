"""The Open Inference Protocol, spoken with the messages alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from numpy.typing import NDArray

from graftscope.inference.v2 import inference_service_pb2 as messages
from graftscope.server.inference import SERVICE
from graftscope.v1 import bundle_pb2, model_service_pb2
from server_toys import TIMEOUT_S, Refusal, Stubs, refusal_of

DATATYPES = {"BOOL": "?", "FP32": "<f4", "INT64": "<i8"}
NAMES = {np.dtype(code): name for name, code in DATATYPES.items()}

Arrays = Mapping[str, NDArray[Any]]
Latents = dict[str, NDArray[Any]]

PAIRS = 5
"""Of samples, unless another number is said."""


def asked(channel: grpc.Channel, request: Message, timeout_s: float | None = TIMEOUT_S) -> Any:
    """The response to a request, whose name is its method's; a future."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    reply = getattr(messages, f"{name}Response")
    stub: Any = channel  # Its stubs do not know calls of any message.
    call = stub.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=reply.FromString,
    )
    return call.future(request, timeout=timeout_s)


def infer_request(
    name: str, given: Arrays, outputs: Sequence[str] = (), **fields: Any
) -> messages.ModelInferRequest:
    """A request with raw contents."""
    kind = messages.ModelInferRequest
    return kind(
        model_name=name,
        inputs=[
            kind.InferInputTensor(name=each, datatype=NAMES[x.dtype], shape=x.shape)
            for each, x in given.items()
        ],
        outputs=[kind.InferRequestedOutputTensor(name=each) for each in outputs],
        raw_input_contents=[x.tobytes() for x in given.values()],
        **fields,
    )


def arrays_of(response: messages.ModelInferResponse) -> dict[str, NDArray[Any]]:
    """A response's arrays by name, in its order."""
    return {
        told.name: np.frombuffer(data, DATATYPES[told.datatype]).reshape(told.shape)
        for told, data in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def infer(
    channel: grpc.Channel, name: str, given: Arrays, outputs: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """What a model gives."""
    return arrays_of(asked(channel, infer_request(name, given, outputs)).result())


def told(channel: grpc.Channel, name: str, version: str = "") -> messages.ModelMetadataResponse:
    """A model's metadata."""
    request = messages.ModelMetadataRequest(name=name, version=version)
    response: messages.ModelMetadataResponse = asked(channel, request).result()
    return response


def bundle(server: Stubs, name: str) -> bundle_pb2.Bundle:
    """What a served model is."""
    request = model_service_pb2.GetModelRequest(name=f"models/{name}")
    return server.models.GetModel(request).model.bundle


def drawn(manifest: bundle_pb2.Bundle, seed: int, count: int = PAIRS) -> Latents:
    """Values of every input."""
    random = np.random.default_rng(seed)
    return {
        x.name: random.integers(x.classes.count, size=count)
        if x.HasField("classes")
        else random.standard_normal((count, *x.shape)).astype(np.float32)
        for x in manifest.inputs
    }


def both(first: Latents, second: Latents, sets: NDArray[np.bool_]) -> Latents:
    """What hybrids take."""
    given = {f"{name}1": x for name, x in first.items()}
    given |= {f"{name}2": x for name, x in second.items()}
    return {**given, "channels": sets}


def refused(server: Stubs, request: Any) -> Refusal:
    """What a call that must fail is told."""
    with pytest.raises(grpc.RpcError) as caught:
        asked(server.channel, request).result()
    return refusal_of(caught.value)
