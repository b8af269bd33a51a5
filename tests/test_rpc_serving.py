"""Callers at once get what each would get alone; jobs go on beside them; images come as files."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from graftscope.server.errors import InvalidInput
from graftscope.server.rpc._image_files import Encoding, encode_images, parse_encoding
from graftscope.v1 import artifact_service_pb2, bundle_pb2, model_service_pb2, tensor_pb2
from request_toys import (
    CHANNELS,
    LAYER,
    channels,
    edit,
    generate,
    hybridize,
    influence,
    latent_pairs,
    latents,
    pairs,
)
from server_toys import TIMEOUT_S, Stubs, refusal_of, served

CALLS = 24
# Matrix products of one row and of several are summed in another order.
TOLERANCE = 1e-6
HALF_A_LEVEL = 0.5 + 1e-3

PNG = model_service_pb2.IMAGE_ENCODING_PNG
WEBP = model_service_pb2.IMAGE_ENCODING_WEBP
IMAGES = ("original1", "original2", "hybrid")


def swap(number: int, **fields: Any) -> model_service_pb2.HybridizeRequest:
    """A pair and a set of channels of its own for every number."""
    chosen = channels(*(c for c in range(CHANNELS) if number >> c & 1))
    given = pairs(seed=number, count=1 + number % 3)
    return hybridize(edit(channels=chosen), **{"pairs": given, **fields})


def at_once(calls: list[Any]) -> list[Any]:
    """Makes all calls at the same time; what fails gives its error."""

    def outcome(call: Any) -> Any:
        try:
            return call()
        except grpc.RpcError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as executor:
        return list(executor.map(outcome, calls))


def test_concurrent_calls_get_what_single_calls_get(toy_server: Stubs) -> None:
    requests = [swap(number) for number in range(1, CALLS + 1)]
    samples = [generate(samples=pairs(seed=number, count=2)) for number in range(CALLS)]
    ask = toy_server.models
    calls: list[Any] = [partial(ask.Hybridize, x, timeout=TIMEOUT_S) for x in requests]
    calls += [partial(ask.Generate, x, timeout=TIMEOUT_S) for x in samples]
    together = at_once(calls)
    for request, reply in zip(requests, together[:CALLS], strict=True):
        assert ask.Hybridize(request) == reply
    for asked, got in zip(samples, together[CALLS:], strict=True):
        alone = ask.Generate(asked)
        np.testing.assert_allclose(
            toy_server.numbers(got.images), toy_server.numbers(alone.images), atol=TOLERANCE
        )


def test_a_wrong_call_among_good_ones_fails_alone(toy_server: Stubs) -> None:
    wrong = swap(3, pairs=latent_pairs(np.full((1, 8), np.nan, np.float32), np.zeros((1, 8), "f4")))
    missing = swap(4, pairs=latent_pairs(np.zeros((1, 7), np.float32), np.zeros((1, 8), "f4")))
    good = [swap(number) for number in range(1, CALLS)]
    requests = [*good[:5], wrong, *good[5:9], missing, *good[9:]]
    ask = toy_server.models.Hybridize
    outcomes = at_once([partial(ask, x, timeout=TIMEOUT_S) for x in requests])
    for request, outcome in zip(requests, outcomes, strict=True):
        if request in (wrong, missing):
            assert refusal_of(outcome).code is grpc.StatusCode.INVALID_ARGUMENT
        else:
            assert outcome == ask(request)


def test_a_call_of_many_pairs_is_what_its_pairs_are_one_by_one(toy_server: Stubs) -> None:
    many = toy_server.models.Hybridize(swap(9, pairs=pairs(seed=9, count=50)))
    for first in (0, 15, 16, 49):
        one = toy_server.models.Hybridize(swap(9, pairs=pairs(seed=9, count=1, first=first)))
        for name in IMAGES:
            whole, part = (toy_server.numbers(getattr(x, name)) for x in (many, one))
            np.testing.assert_array_equal(whole[first], part[0])


def test_a_call_whose_deadline_is_over_leaves_the_others_alone(toy_server: Stubs) -> None:
    ask = toy_server.models.Hybridize
    requests = [swap(number) for number in range(1, CALLS)]
    hasty = [partial(ask, swap(63, pairs=pairs(seed=1, count=300)), timeout=0.001)] * 4
    patient = [partial(ask, x, timeout=TIMEOUT_S) for x in requests]
    outcomes = at_once([*hasty, *patient])
    for outcome in outcomes[:4]:
        assert outcome.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    for request, outcome in zip(requests, outcomes[4:], strict=True):
        assert outcome == ask(request)


@pytest.fixture
def own_server(toy_vae_bundle: Path, tmp_path: Path) -> Iterator[Stubs]:
    with served([toy_vae_bundle], tmp_path) as stubs:
        yield stubs


def test_a_job_goes_on_under_constant_interactive_load(own_server: Stubs) -> None:
    operation = own_server.analyses.Influence(influence(layer=LAYER, pairs=pairs(count=64)))
    with ThreadPoolExecutor(1) as executor:
        ended = executor.submit(own_server.wait, operation)
        answered = 0
        while not ended.done():
            own_server.models.Hybridize(swap(answered % 60 + 1))
            answered += 1
        assert not ended.result().HasField("error")
    assert answered


def test_a_calls_own_arrays_are_not_written_to_disk(own_server: Stubs) -> None:
    given = latent_pairs(np.zeros((1, 8), np.float32), np.ones((1, 8), np.float32))
    own_server.models.Hybridize(swap(5, pairs=given))
    own_server.models.Generate(generate(latents=latents(np.ones((2, 8), np.float32))))
    assert not list((own_server.state / "artifacts").iterdir())


def files(server: Stubs, array: tensor_pb2.Array) -> list[bytes]:
    """A response's files, as KServe packs them."""
    if array.WhichOneof("source") == "tensor":
        described, data = (array.tensor.datatype, array.tensor.shape), array.tensor.data
    else:
        artifact = array.artifact
        described = artifact.datatype, artifact.shape
        request = artifact_service_pb2.ReadArtifactRequest(sha256=artifact.sha256)
        chunks = server.artifacts.ReadArtifact(request)
        data = b"".join(x.chunk.data for x in chunks)
    found = []
    while data:
        length = int.from_bytes(data[:4], "little")
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    assert (described[0], list(described[1])) == ("BYTES", [len(found)])
    return found


def pixels(file: bytes, name: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(file)) as image:
        assert image.format == name
        return np.asarray(image)


@pytest.mark.parametrize(("encoding", "name"), [(PNG, "PNG"), (WEBP, "WEBP")])
def test_encoded_images_are_the_arrays_within_half_a_grey_level(
    toy_server: Stubs, encoding: model_service_pb2.ImageEncoding, name: str
) -> None:
    arrays = toy_server.models.Hybridize(swap(5))
    encoded = toy_server.models.Hybridize(swap(5, encoding=encoding))
    for which in IMAGES:
        array = toy_server.numbers(getattr(arrays, which)).transpose(0, 2, 3, 1)
        found = [pixels(x, name) for x in files(toy_server, getattr(encoded, which))]
        levels = (array + 1) * 255 / 2
        assert np.abs(np.stack(found) - levels).max() <= HALF_A_LEVEL
    samples = toy_server.models.Generate(generate(samples=pairs(count=3), encoding=encoding))
    assert len(files(toy_server, samples.images)) == 3
    assert samples.latents.inputs["z"].tensor.shape == [3, 8]


def test_many_files_come_as_an_artifact(toy_server: Stubs) -> None:
    request = generate(samples=pairs(count=2000), encoding=PNG)
    reply = toy_server.models.Generate(request)
    assert reply.images.WhichOneof("source") == "artifact"
    assert len(files(toy_server, reply.images)) == 2000


@pytest.mark.parametrize("colours", [1, 3, 4])
@pytest.mark.parametrize("encoding", list(Encoding))
def test_every_number_of_channels_that_a_file_can_hold_comes_back(
    colours: int, encoding: Encoding
) -> None:
    image = bundle_pb2.Image(channels=colours, height=5, width=7, low=-2.0, high=3.0)
    images = np.random.default_rng(0).uniform(-3, 4, (2, colours, 5, 7)).astype(np.float32)
    for file, each in zip(encode_images(images, encoding, image), images, strict=True):
        found = pixels(file, encoding.name).astype(np.float64)
        # WebP has no grey images: its channels are the same then.
        found = found.reshape(5, 7, -1)[..., :colours]
        levels = (np.clip(each, -2, 3).transpose(1, 2, 0) + 2) * 51
        assert np.abs(found - levels).max() <= HALF_A_LEVEL


@pytest.mark.parametrize(
    ("channels_of_image", "side", "encoding", "told"),
    [
        (2, 8, PNG, "images of 2 channels cannot be encoded as png; 1, 3 or 4"),
        (3, 16_384, WEBP, "16384 pixels a side cannot be encoded as webp, which takes at most"),
    ],
)
def test_images_that_no_file_can_hold_are_refused(
    channels_of_image: int, side: int, encoding: int, told: str
) -> None:
    image = bundle_pb2.Image(channels=channels_of_image, height=8, width=side, low=0, high=1)
    with pytest.raises(InvalidInput, match=told):
        parse_encoding(encoding, image)


def test_images_that_are_not_finite_are_refused() -> None:
    image = bundle_pb2.Image(channels=1, height=1, width=1, low=0, high=1)
    with pytest.raises(InvalidInput, match="not finite"):
        encode_images(np.full((1, 1, 1, 1), np.nan, np.float32), Encoding.PNG, image)


def test_an_encoding_of_a_later_version_is_refused_by_its_number(toy_server: Stubs) -> None:
    request = generate(samples=pairs(count=1))
    request.encoding = 9  # type: ignore[assignment]
    with pytest.raises(grpc.RpcError) as caught:
        toy_server.models.Generate(request)
    told = refusal_of(caught.value)
    assert told.code is grpc.StatusCode.UNIMPLEMENTED
    assert told.message.startswith(
        "image encoding number 9 is not implemented yet; implemented are png"
    )
