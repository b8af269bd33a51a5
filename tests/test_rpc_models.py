"""Models are listed and described; samples, encodings and hybrids are answered while one waits."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import Batching, Cancellation, Catalogue, Device, SessionPool
from graftscope.server.rpc import InteractiveRuns
from graftscope.v1 import bundle_pb2, model_service_pb2, originals_pb2
from job_toys import bench
from request_toys import (
    CHANNELS,
    LATENT,
    SIDE,
    VAE,
    channels,
    edit,
    encode,
    generate,
    hybridize,
    image_pairs,
    inline,
    latent_pairs,
    latents,
    module,
    pairs,
)
from server_toys import TIMEOUT_S, Stubs, refused

RANDOM = np.random.default_rng(1)
PHOTOGRAPHS = RANDOM.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
# The whole graph and its halves may be optimised differently.
TOLERANCE = 1e-5


def z(count: int) -> NDArray[np.float32]:
    return RANDOM.standard_normal((count, LATENT)).astype(np.float32)


def described(server: Stubs, name: str) -> bundle_pb2.Bundle:
    return server.models.GetModel(model_service_pb2.GetModelRequest(name=name)).model.bundle


def test_models_are_listed_page_by_page_in_order_of_their_names(toy_server: Stubs) -> None:
    names: list[str] = []
    token = ""
    while not names or token:
        request = model_service_pb2.ListModelsRequest(page_size=2, page_token=token)
        page = toy_server.models.ListModels(request)
        names += [model.name for model in page.models]
        token = page.next_page_token
    assert names == ["models/toy-blocks", "models/toy-skip", "models/toy-vae"]


def test_a_model_is_its_manifest_with_every_layers_tensor(toy_server: Stubs) -> None:
    bundle = described(toy_server, VAE)
    levels = [layer.level for layer in bundle.layers if layer.upstream]
    assert levels == ["coarse", "intermediate", "fine", "image"]
    assert all(layer.tensor for layer in bundle.layers)
    assert described(toy_server, f"{VAE}@{bundle.digest}") == bundle


def test_samples_have_the_generators_shape_and_range(toy_server: Stubs) -> None:
    reply = toy_server.models.Generate(generate(samples=pairs(count=3, seed=2)))
    images = toy_server.numbers(reply.images)
    assert (reply.images.tensor.datatype, images.shape) == ("FP32", (3, 3, SIDE, SIDE))
    assert np.abs(images).max() <= 1.0
    assert toy_server.numbers(reply.latents.inputs["z"]).shape == (3, LATENT)
    assert reply.execution.model_digest == described(toy_server, VAE).digest


def test_sample_i_is_original_1_of_pair_i(toy_server: Stubs) -> None:
    drawn = toy_server.models.Generate(generate(samples=pairs(count=4, seed=2)))
    later = toy_server.models.Generate(generate(samples=pairs(count=2, first=2, seed=2)))
    swap = edit(channels=channels())
    hybrids = toy_server.models.Hybridize(hybridize(swap, pairs=pairs(count=4, seed=2)))
    images = toy_server.numbers(drawn.images)
    np.testing.assert_allclose(images[2:], toy_server.numbers(later.images), atol=TOLERANCE)
    original1 = toy_server.numbers(hybrids.original1)
    np.testing.assert_allclose(images, original1, atol=TOLERANCE)


def test_original_2_of_a_pair_is_a_sample_too(toy_server: Stubs) -> None:
    drawn = toy_server.models.Generate(generate(samples=pairs(count=4, seed=2), original=2))
    hybrids = toy_server.models.Hybridize(
        hybridize(edit(channels=channels()), pairs=pairs(count=4, seed=2))
    )
    np.testing.assert_allclose(
        toy_server.numbers(drawn.images), toy_server.numbers(hybrids.original2), atol=TOLERANCE
    )
    again = toy_server.models.Generate(generate(latents=drawn.latents, original=2))
    np.testing.assert_array_equal(
        toy_server.numbers(again.images), toy_server.numbers(drawn.images)
    )
    error = refused(
        lambda: toy_server.models.Generate(generate(samples=pairs(count=1), original=3))
    )
    assert "original 3 is none of a pair: 1 or 2 is allowed" in error.message


def test_a_generator_of_several_inputs_takes_all_of_them(toy_server: Stubs) -> None:
    reply = toy_server.models.Generate(generate(model="models/toy-skip", samples=pairs(count=2)))
    assert set(reply.latents.inputs) == {"z", "noise"}
    again = toy_server.models.Generate(generate(model="models/toy-skip", latents=reply.latents))
    assert again.images == reply.images
    del reply.latents.inputs["noise"]
    told = refused(
        lambda: toy_server.models.Generate(generate(model="models/toy-skip", latents=reply.latents))
    )
    assert "latents lacks 'noise' (standard normal)" in told.message
    assert "the inputs of model 'toy-skip' are: z, noise" in told.message


def test_an_encoding_has_mean_and_variance_of_every_image(toy_server: Stubs) -> None:
    reply = toy_server.models.Encode(encode(inline(PHOTOGRAPHS)))
    for side in (reply.mean, reply.log_variance):
        assert toy_server.numbers(side.inputs["z"]).shape == (3, LATENT)
    one = toy_server.models.Encode(encode(inline(PHOTOGRAPHS[1:2])))
    np.testing.assert_allclose(
        toy_server.numbers(one.mean.inputs["z"])[0],
        toy_server.numbers(reply.mean.inputs["z"])[1],
        atol=TOLERANCE,
    )


def test_hybrids_of_images_are_those_of_their_encodings(toy_server: Stubs) -> None:
    mean = toy_server.models.Encode(encode(inline(PHOTOGRAPHS))).mean.inputs["z"]
    encoded = toy_server.read(mean)
    swap = edit(channels=channels(0, 3))
    given = image_pairs(inline(PHOTOGRAPHS[:2]), inline(PHOTOGRAPHS[1:]))
    by_image = toy_server.models.Hybridize(hybridize(swap, pairs=given))
    by_latent = toy_server.models.Hybridize(
        hybridize(swap, pairs=latent_pairs(encoded[:2], encoded[1:]))
    )
    np.testing.assert_allclose(
        toy_server.numbers(by_image.hybrid), toy_server.numbers(by_latent.hybrid), atol=TOLERANCE
    )
    assert (by_image.distinct_images, by_latent.distinct_images) == (3, 0)


def test_hybrids_keep_the_identities_of_splicing(toy_server: Stubs) -> None:
    given = latent_pairs(z(4), z(4))

    def hybrids(*indices: int) -> model_service_pb2.HybridizeResponse:
        return toy_server.models.Hybridize(
            hybridize(edit(channels=channels(*indices)), pairs=given)
        )

    nothing, everything = hybrids(), hybrids(*range(CHANNELS))
    assert nothing.hybrid == nothing.original1
    assert everything.hybrid == everything.original2
    assert hybrids(0).hybrid not in (nothing.hybrid, everything.hybrid)


def test_hybrids_of_a_module_are_those_of_its_channels(toy_server: Stubs) -> None:
    given = latent_pairs(z(2), z(2))
    labels = inline(np.array([0, 1, -1, 1, 0, -1], dtype=np.int64))
    by_module = toy_server.models.Hybridize(hybridize(module(labels, 1), pairs=given))
    by_channels = toy_server.models.Hybridize(hybridize(edit(channels=channels(1, 3)), pairs=given))
    assert by_module == by_channels


def test_a_reply_larger_than_a_message_comes_as_artifacts(toy_server: Stubs) -> None:
    # 512 images of 3 KiB are 1.5 MiB.
    reply = toy_server.models.Generate(generate(samples=pairs(count=512)))
    assert reply.images.WhichOneof("source") == "artifact"
    assert toy_server.numbers(reply.images).shape == (512, 3, SIDE, SIDE)
    # 341 images are just below 1 MiB, three times.
    swap = edit(channels=channels(0))
    three = toy_server.models.Hybridize(hybridize(swap, pairs=pairs(count=341)))
    assert three.hybrid.WhichOneof("source") == "tensor"
    assert three.ByteSize() > 3 * 1_000_000


def test_latents_of_a_reply_fit_into_one_message_however_many_inputs_there_are(
    toy_server: Stubs,
) -> None:
    # The noise, 64 bytes a sample, is above half a MiB; the latents of 32 bytes are not.
    count = 2**19 // 64 + 1
    reply = toy_server.models.Generate(
        generate(model="models/toy-skip", samples=pairs(count=count))
    )
    kinds = {name: x.WhichOneof("source") for name, x in reply.latents.inputs.items()}
    assert kinds == {"z": "tensor", "noise": "artifact"}


def test_latents_larger_than_a_message_are_generated_from(toy_server: Stubs) -> None:
    values = z(200)
    sent = originals_pb2.Latents(inputs={"z": toy_server.put(values)})
    by_artifact = toy_server.models.Generate(generate(latents=sent))
    by_value = toy_server.models.Generate(generate(latents=latents(values)))
    assert by_artifact.images == by_value.images


async def test_a_call_that_is_given_up_is_stopped(toy_vae_bundle: Path, tmp_path: Path) -> None:
    started, stopped = threading.Event(), threading.Event()

    def compute(cancellation: Cancellation) -> None:
        started.set()
        while not cancellation.cancelled:
            pass
        stopped.set()

    async with bench(toy_vae_bundle, tmp_path) as here:
        catalogue = Catalogue([here.generator.folder], SessionPool(Device.CPU, 4))
        with ThreadPoolExecutor(1) as executor:
            runs = InteractiveRuns(Batching(executor, 1, catalogue.turns))
            call = asyncio.ensure_future(runs.run(compute))
            assert await asyncio.to_thread(started.wait, TIMEOUT_S)
            call.cancel()
            assert await asyncio.to_thread(stopped.wait, TIMEOUT_S)
