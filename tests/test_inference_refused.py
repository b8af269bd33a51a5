"""The Open Inference Protocol names what is wrong with a request, and what is allowed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from access_toys import protected
from graftscope.inference.v2 import inference_service_pb2 as messages
from inference_toys import asked, both, bundle, drawn, infer_request, refused
from server_toys import Stubs

MIB = 2**20

Change = Callable[[messages.ModelInferRequest], object]


def first(request: messages.ModelInferRequest) -> Any:
    return request.inputs[0]


def typed(request: messages.ModelInferRequest) -> messages.InferTensorContents:
    """Contents in the place of bytes."""
    request.ClearField("raw_input_contents")
    contents: messages.InferTensorContents = first(request).contents
    return contents


WRONG: dict[str, tuple[Change, str]] = {
    "no input of this name": (
        lambda x: setattr(first(x), "name", "y"),
        r"'toy-vae' has no input 'y'; it has: 'z' FP32 \[-1, 8\]",
    ),
    "an input twice": (lambda x: x.inputs.append(first(x)), "input 'z' is there 2 times"),
    "no input": (
        lambda x: x.CopyFrom(messages.ModelInferRequest(model_name="toy-vae")),
        r"input 'z' FP32 \[-1, 8\] of 'toy-vae' is missing",
    ),
    "another type": (
        lambda x: setattr(first(x), "datatype", "FP64"),
        r"input 'z' is FP64 \[5, 8\]; FP32 \[-1, 8\] is needed",
    ),
    "another shape": (
        lambda x: first(x).shape.append(1),
        r"input 'z' is FP32 \[5, 8, 1\]; FP32 \[-1, 8\] is needed",
    ),
    "a negative extent": (
        lambda x: first(x).shape.__setitem__(0, -5),
        r"input 'z' is FP32 \[-5, 8\]; FP32 \[-1, 8\] is needed",
    ),
    "no samples": (
        lambda x: (first(x).shape.__setitem__(0, 0), x.raw_input_contents.__setitem__(0, b"")),
        "at least 1",
    ),
    "too few bytes": (
        lambda x: x.raw_input_contents.__setitem__(0, b"1234"),
        r"input 'z' has 4 bytes in raw_input_contents; FP32 \[5, 8\] takes 160",
    ),
    "too many tensors": (
        lambda x: x.raw_input_contents.append(b""),
        "raw_input_contents has 2 entries for 1 inputs",
    ),
    "raw and typed": (
        lambda x: first(x).contents.fp32_contents.append(0.0),
        "input 'z' has contents, and the request has raw_input_contents",
    ),
    "typed in another field": (
        lambda x: typed(x).int_contents.append(1),
        "input 'z' is FP32, whose elements are given in fp32_contents, and not int_contents",
    ),
    "too few elements": (
        lambda x: typed(x).fp32_contents.append(1),
        r"input 'z' has 1 elements in fp32_contents; FP32 \[5, 8\] takes 40",
    ),
    "not a number": (
        lambda x: x.raw_input_contents.__setitem__(0, np.full(40, np.nan, np.float32).tobytes()),
        r"input 'z' holds nan at \[0, 0\]; all values must be finite",
    ),
    "no output of this name": (
        lambda x: x.outputs.add(name="picture"),
        r"'toy-vae' has no output 'picture'; it has: 'image' FP32 \[-1, ",
    ),
    "a parameter of the request": (
        lambda x: setattr(x.parameters["priority"], "int64_param", 1),
        "parameter 'priority' of the request is not known",
    ),
    "a parameter of an input": (
        lambda x: setattr(first(x).parameters["shared_memory_region"], "string_param", "x"),
        "parameter 'shared_memory_region' of input 'z' is not known",
    ),
    "a parameter of an output": (
        lambda x: setattr(
            x.outputs.add(name="image").parameters["classification"], "int64_param", 1
        ),
        "parameter 'classification' of output 'image' is not known",
    ),
    "more than a reply holds": (
        lambda x: (
            first(x).shape.__setitem__(0, 100_000),
            x.raw_input_contents.__setitem__(0, bytes(3_200_000)),
        ),
        "100000 samples of 'image' take .* MiB; at most .* are allowed in one call",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_refused_with_what_is_allowed(toy_server: Stubs, wrong: str) -> None:
    change, message = WRONG[wrong]
    request = infer_request("toy-vae", drawn(bundle(toy_server, "toy-vae"), 0))
    change(request)
    refusal = refused(toy_server, request)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
    assert re.search(message, refusal.message), refusal.message
    assert refusal.field


def test_a_model_layer_or_version_that_is_not_there_is_not_found(toy_server: Stubs) -> None:
    for name, version, message in (
        ("nobody", "", "NAME is one of: toy-blocks, toy-skip, toy-vae"),
        ("toy-vae.nowhere.hybrid", "", "layer 'nowhere' is not in model 'toy-vae'; it has:"),
        ("toy-vae", "3", "model 'toy-vae' has version .* here, not '3'"),
    ):
        for request in (
            messages.ModelInferRequest(model_name=name, model_version=version),
            messages.ModelMetadataRequest(name=name, version=version),
        ):
            refusal = refused(toy_server, request)
            assert refusal.code is grpc.StatusCode.NOT_FOUND
            assert re.search(message, refusal.message), refusal.message


def test_pairs_of_different_numbers_are_refused(toy_server: Stubs) -> None:
    manifest = bundle(toy_server, "toy-vae")
    layer = manifest.layers[1]
    name = f"toy-vae.{layer.name}.hybrid"
    sets = np.zeros((1, layer.channels), np.bool_)
    given = both(drawn(manifest, 0), drawn(manifest, 1, 3), sets)
    refusal = refused(toy_server, infer_request(name, given))
    assert "'z1' 5, 'z2' 3, 'channels' 1; the same number is needed" in refusal.message


def test_how_large_a_request_may_be_can_be_set(
    toy_server: Stubs, toy_vae_bundle: Path, tmp_path: Path
) -> None:
    large = infer_request("toy-vae", {"y": np.zeros((5 * MIB // 4, 1), np.float32)})
    with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
        asked(toy_server.channel, large).result()
    with (
        protected([toy_vae_bundle], tmp_path, auth="none", request_mib=6) as address,
        grpc.insecure_channel(address) as channel,
        pytest.raises(grpc.RpcError, match="'toy-vae' has no input 'y'"),
    ):
        asked(channel, large).result()
