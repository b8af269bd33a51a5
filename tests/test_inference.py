"""The Open Inference Protocol gives what our own methods give, to the bit."""

import re
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from numpy.typing import NDArray

from graftscope.bundle import read_bundle
from graftscope.inference.v2 import inference_service_pb2 as messages
from graftscope.server.engine import Catalogue, Device, SessionPool
from graftscope.server.inference import SERVICE, InferenceServicer
from graftscope.v1 import bundle_pb2, originals_pb2
from inference_toys import (
    PAIRS,
    Latents,
    arrays_of,
    asked,
    both,
    bundle,
    drawn,
    infer,
    infer_request,
    refused,
    told,
)
from intervention_toys import write_conditional
from request_toys import channels, edit, generate, hybridize, inline, originals
from server_toys import TIMEOUT_S, Stubs, served
from waiting_toys import until

MIB = 2**20
RECEIVES = "grpc.max_receive_message_length"
PARTS = ("upstream", "downstream", "hybrid")


def latents_of(arrays: Latents) -> originals_pb2.Latents:
    return originals_pb2.Latents(inputs={name: inline(x) for name, x in arrays.items()})


def ours(
    server: Stubs, name: str, layer: str, first: Latents, second: Latents, chosen: NDArray[np.bool_]
) -> NDArray[Any]:
    """The hybrids of our own method."""
    given = originals_pb2.LatentPairs(latents1=latents_of(first), latents2=latents_of(second))
    request = hybridize(
        edit(layer=layer, channels=channels(*np.flatnonzero(chosen))),
        model=f"models/{name}",
        pairs=originals(latents=given),
    )
    return server.numbers(server.models.Hybridize(request).hybrid)


def test_the_server_is_live_and_ready_and_tells_its_version(toy_server: Stubs) -> None:
    ask = partial(asked, toy_server.channel)
    assert ask(messages.ServerLiveRequest()).result().live
    assert ask(messages.ServerReadyRequest()).result().ready
    server = ask(messages.ServerMetadataRequest()).result()
    assert (server.name, server.version) == ("graftscope", metadata.version("graftscope"))
    assert not server.extensions


def test_every_layer_by_its_name_or_its_levels_is_ready_in_its_version(toy_server: Stubs) -> None:
    manifest = bundle(toy_server, "toy-vae")
    names = ["toy-vae"]
    for layer in manifest.layers:
        for each in filter(None, (layer.name, layer.level)):
            names += [f"toy-vae.{each}.{part}" for part in PARTS]

    def is_ready(name: str, version: str) -> bool:
        request = messages.ModelReadyRequest(name=name, version=version)
        ready: bool = asked(toy_server.channel, request).result().ready
        return ready

    assert all(is_ready(name, "") and is_ready(name, manifest.digest) for name in names)
    assert not any(is_ready(name, "1") for name in names)
    nobody = ("toy", "toy-vae.", "toy-vae.nowhere.hybrid", "toy-vae.fc.sideways", "toy-vae.hybrid")
    assert not any(is_ready(name, "") for name in nobody)


def test_the_metadata_tell_names_types_and_shapes(toy_server: Stubs) -> None:
    manifest = bundle(toy_server, "toy-skip")
    whole = told(toy_server.channel, "toy-skip")
    assert (whole.name, list(whole.versions)) == ("toy-skip", [manifest.digest])
    assert whole.platform == "onnxruntime_onnx"
    latents = [("z", "FP32", [-1, 8]), ("noise", "FP32", [-1, 1, 4, 4])]
    image = ("FP32", [-1, manifest.image.channels, manifest.image.height, manifest.image.width])
    assert described(whole.inputs) == latents
    assert described(whole.outputs) == [("image", *image)]
    for layer in manifest.layers:
        up, down, hybrid = (
            told(toy_server.channel, f"toy-skip.{layer.name}.{part}", manifest.digest)
            for part in PARTS
        )
        assert described(up.inputs) == latents
        assert described(up.outputs) == described(down.inputs)
        names = [each.name for each in up.outputs]
        assert names[0] == layer.tensor
        assert set(layer.carried) <= set(names)
        assert described(down.outputs) == [("image", *image)]
        assert described(hybrid.inputs) == [
            *((f"{name}1", *rest) for name, *rest in latents),
            *((f"{name}2", *rest) for name, *rest in latents),
            ("channels", "BOOL", [-1, layer.channels]),
        ]
        names = ["hybrid", "original1", "original2"]
        assert described(hybrid.outputs) == [(name, *image) for name in names]
        assert hybrid.properties["layer"] == layer.name


def described(tensors: Any) -> list[tuple[str, str, list[int]]]:
    return [(x.name, x.datatype, list(x.shape)) for x in tensors]


@pytest.mark.parametrize("name", ["toy-vae", "toy-skip", "toy-blocks"])
def test_images_are_those_of_generate(toy_server: Stubs, name: str) -> None:
    given = drawn(bundle(toy_server, name), 0)
    request = generate(model=f"models/{name}", latents=latents_of(given))
    images = toy_server.read(toy_server.models.Generate(request).images)
    np.testing.assert_array_equal(infer(toy_server.channel, name, given)["image"], images)


@pytest.mark.parametrize("name", ["toy-vae", "toy-skip", "toy-blocks"])
def test_hybrids_are_ours_and_those_that_are_made_of_halves(toy_server: Stubs, name: str) -> None:
    assert_hybrids(toy_server, name)


def assert_hybrids(server: Stubs, name: str) -> None:
    """At every layer, to the bit, by our own method and by splicing what lies between halves."""
    manifest, random = bundle(server, name), np.random.default_rng(2)
    first, second = drawn(manifest, 0), drawn(manifest, 1)
    part = partial(infer, server.channel)
    for layer in manifest.layers:
        prefix, chosen = f"{name}.{layer.name}", random.random(layer.channels) < 0.5
        made = part(f"{prefix}.hybrid", both(first, second, chosen[np.newaxis]))
        expected = ours(server, name, layer.name, first, second, chosen)
        np.testing.assert_array_equal(made["hybrid"], expected)
        above, donors = (part(f"{prefix}.upstream", each) for each in (first, second))
        image = part(f"{prefix}.downstream", above)["image"]
        np.testing.assert_array_equal(image, made["original1"])
        kept = above[layer.tensor]
        axis = 2 if layer.kind == bundle_pb2.LAYER_KIND_TOKENS else 1
        sets = np.expand_dims(chosen, [i for i in range(kept.ndim) if i != axis])
        spliced = {**above, layer.tensor: np.where(sets, donors[layer.tensor], kept)}
        by_hand = part(f"{prefix}.downstream", spliced)["image"]
        np.testing.assert_array_equal(made["hybrid"], by_hand)


def test_every_pair_may_have_channels_of_its_own(toy_server: Stubs) -> None:
    manifest = bundle(toy_server, "toy-skip")
    layer = manifest.layers[-1]
    first, second = drawn(manifest, 0), drawn(manifest, 1)
    sets = np.random.default_rng(2).random((PAIRS, layer.channels)) < 0.5
    sets[0], sets[1] = False, True
    sets[4] = sets[2]
    name = f"toy-skip.{layer.name}.hybrid"
    made = infer(toy_server.channel, name, both(first, second, sets))
    np.testing.assert_array_equal(made["hybrid"][0], made["original1"][0])
    for i, chosen in enumerate(sets):
        one, two = ({x: y[i : i + 1] for x, y in each.items()} for each in (first, second))
        expected = ours(toy_server, "toy-skip", layer.name, one, two, chosen)
        np.testing.assert_array_equal(made["hybrid"][i : i + 1], expected)


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """A server with `conditional`: labels, noise, fixed and stored inputs, tokens and vectors."""
    folder = write_conditional(tmp_path_factory.mktemp("bundles") / "conditional")
    with served([folder], tmp_path_factory.mktemp("conditional")) as stubs:
        yield stubs


def test_noise_and_what_is_fixed_may_be_left_out_and_are_as_ours(conditional: Stubs) -> None:
    manifest = bundle(conditional, "conditional")
    whole = told(conditional.channel, "conditional")
    assert ("label", "INT64", [-1]) in described(whole.inputs)
    assert whole.properties["optional_inputs"] == "noise,t"
    first, second = drawn(manifest, 0), drawn(manifest, 1)
    for given in (first, second):
        del given["noise"], given["t"]
    request = generate(model="models/conditional", latents=latents_of(first))
    images = conditional.read(conditional.models.Generate(request).images)
    made = infer(conditional.channel, "conditional", first)["image"]
    np.testing.assert_array_equal(made, images)
    layer = manifest.layers[-1]
    sets = np.eye(PAIRS, layer.channels, dtype=np.bool_)  # A set of its own for each pair.
    name = f"conditional.{layer.name}.hybrid"
    hybrids = infer(conditional.channel, name, both(first, second, sets))
    for i, chosen in enumerate(sets):
        expected = ours(conditional, "conditional", layer.name, first, second, chosen)
        np.testing.assert_array_equal(hybrids["hybrid"][i], expected[i])


def test_hybrids_of_tokens_vectors_and_labels_are_ours(conditional: Stubs) -> None:
    assert_hybrids(conditional, "conditional")


def test_a_label_that_the_model_does_not_have_is_refused(conditional: Stubs) -> None:
    given = drawn(bundle(conditional, "conditional"), 0)
    given["label"][2] = 5
    refusal = refused(conditional, infer_request("conditional", given))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert re.search(r"input 'label' holds labels from \d to 5; 0 to 4 are", refusal.message)


def test_typed_contents_are_raw_ones(toy_server: Stubs) -> None:
    manifest = bundle(toy_server, "toy-vae")
    layer = manifest.layers[1]
    sets = np.arange(layer.channels)[np.newaxis] % 2 == 0
    given = both(drawn(manifest, 0), drawn(manifest, 1), sets)
    name = f"toy-vae.{layer.name}.hybrid"
    raw = infer_request(name, given)
    typed = infer_request(name, given)
    typed.ClearField("raw_input_contents")
    for each in typed.inputs:
        field = "bool_contents" if each.datatype == "BOOL" else "fp32_contents"
        getattr(each.contents, field).extend(given[each.name].reshape(-1).tolist())
    one, two = (asked(toy_server.channel, each).result() for each in (raw, typed))
    assert one == two


def test_outputs_come_in_the_order_in_which_they_are_named(toy_server: Stubs) -> None:
    manifest = bundle(toy_server, "toy-vae")
    layer = manifest.layers[1]
    sets = np.ones((1, layer.channels), np.bool_)
    given = both(drawn(manifest, 0), drawn(manifest, 1), sets)
    outputs = ("original2", "hybrid")
    request = infer_request(f"toy-vae.{layer.name}.hybrid", given, outputs, id="call 7")
    response = asked(toy_server.channel, request).result()
    assert (response.id, response.model_name) == ("call 7", request.model_name)
    assert response.model_version == manifest.digest
    made = arrays_of(response)
    assert tuple(made) == outputs
    if not layer.carried:
        np.testing.assert_array_equal(made["hybrid"], made["original2"])


def test_reflection_describes_the_service_by_its_name_and_health_knows_it(
    toy_server: Stubs,
) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(toy_server.channel)
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    (reply,) = stub.ServerReflectionInfo(iter([request]), timeout=TIMEOUT_S)
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(each)
        for each in reply.file_descriptor_response.file_descriptor_proto
    ]
    (service,) = files[0].service
    assert files[0].package == "inference"
    assert {each.input_type for each in service.method} == {
        f".inference.{each.name}Request" for each in service.method
    }
    assert len(service.method) == 6


def test_callers_at_once_get_what_each_gets_alone(toy_server: Stubs) -> None:
    manifest = bundle(toy_server, "toy-skip")
    layer, random = manifest.layers[-1], np.random.default_rng(3)
    requests = []
    for seed in range(24):
        first, second = (drawn(manifest, 2 * seed + i, 1 + seed % 3) for i in (0, 1))
        sets = random.random((1 + seed % 3, layer.channels)) < 0.5
        requests += [
            infer_request(f"toy-skip.{layer.name}.hybrid", both(first, second, sets)),
            infer_request(f"toy-skip.{layer.name}.upstream", first),
            infer_request("toy-skip", first),
        ]
    at_once = [asked(toy_server.channel, each) for each in requests]
    together = [call.result() for call in at_once]
    alone = [asked(toy_server.channel, each).result() for each in requests]
    assert together == alone


def test_a_calls_line_in_the_log_tells_what_it_is_about(
    toy_server: Stubs, caplog: pytest.LogCaptureFixture
) -> None:
    given = drawn(bundle(toy_server, "toy-vae"), 0)
    caplog.set_level("INFO", "graftscope.server.rpc")
    infer(toy_server.channel, "toy-vae.intermediate.upstream", given)

    def line() -> str:
        return next((x for x in caplog.messages if "ModelInfer" in x), "")

    until(lambda: bool(line()))  # It is written once the reply has left.
    for fact in ("model='toy-vae.intermediate.upstream'", "layer='deconv1'", "pairs=5"):
        assert fact in line()


def test_a_reply_may_be_larger_than_four_mebibytes(toy_server: Stubs) -> None:
    given = drawn(bundle(toy_server, "toy-vae"), 0, 3_000)
    with grpc.insecure_channel(toy_server.address, [(RECEIVES, -1)]) as channel:
        images = infer(channel, "toy-vae", given)["image"]
    assert images.nbytes > 4 * MIB
    few = {"z": given["z"][-PAIRS:]}
    np.testing.assert_array_equal(
        images[-PAIRS:], infer(toy_server.channel, "toy-vae", few)["image"]
    )


async def test_a_server_that_stops_is_live_and_not_ready(toy_vae_bundle: Path) -> None:
    catalogue = Catalogue([read_bundle(toy_vae_bundle)], SessionPool(Device.CPU, 4))
    nothing: Any = None
    servicer = InferenceServicer(catalogue, nothing, nothing, nothing, is_ready=lambda: False)
    live = await servicer.ServerLive(messages.ServerLiveRequest(), nothing)
    ready = await servicer.ServerReady(messages.ServerReadyRequest(), nothing)
    model = await servicer.ModelReady(messages.ModelReadyRequest(name="toy-vae"), nothing)
    assert (live.live, ready.ready, model.ready) == (True, False, False)
