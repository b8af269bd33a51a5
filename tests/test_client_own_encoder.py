"""A VAE that was brought along with its encoder: what every verb makes of photographs is known."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from _cli_shell import arrays
from encoder_toys import (
    MEAN,
    TWO,
    encodings,
    in_range,
    log_variances,
    save_encoder,
    save_generator,
    save_photographs,
)
from graftscope.client import Client, Encoded, ImagePairs, Images, Prior
from graftscope.client.cli import run
from graftscope.client.errors import InputError
from graftscope.client.values import Originals

TOLERANCE = 1e-5
"""Of encodings and images, whose largest numbers are near 1: float32 sums of 192 products."""

COUNT = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles `own`, with originals, and `bare`, whose encoder tells the mean alone."""
    made = tmp_path_factory.mktemp("own")
    save_photographs(made / "photographs.zip", COUNT)
    source = save_generator(made / "generator.onnx")
    two = save_encoder(made / "two.onnx", TWO)
    for name, encoder, data in (
        ("own", two, ["--data", made / "photographs.zip"]),
        ("bare", save_encoder(made / "mean.onnx", MEAN), []),
    ):
        words = ["export", source, "--encoder", encoder, *data, "--out", made / name]
        assert run(list(map(str, words))) == 0
    return made


@pytest.fixture(scope="module")
def client(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    bundles = [folder / "own", folder / "bare"]
    with Client(bundles=bundles, state=tmp_path_factory.mktemp("state")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    """The photographs (40, 8, 8, 3)."""
    return save_photographs(tmp_path_factory.mktemp("again") / "photographs.zip", COUNT)


def generated(folder: Path, latents: NDArray[np.floating]) -> NDArray[np.float32]:
    """What the generator's own file makes of latents."""
    session = ort.InferenceSession(folder / "generator.onnx")
    images: NDArray[np.float32] = session.run(None, {"z": latents.astype(np.float32)})[0]
    return images


def close(found: NDArray[np.generic], expected: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=0, atol=TOLERANCE)


def latents(client: Client, count: int, originals: Originals | None) -> NDArray[np.float64]:
    """Draw latents (count, 8) of `own`."""
    samples = client.generate("own", count=count, originals=originals)
    return np.asarray(samples.latents["z"], np.float64)


def test_encode_gives_the_linear_encodings(client: Client, pixels: NDArray[np.uint8]) -> None:
    posterior = client.encode("own", pixels)
    images = in_range(pixels)
    close(posterior.mean["z"], encodings(images))
    close(posterior.log_variance["z"], log_variances(images))


def test_an_encoder_of_the_mean_alone_tells_no_log_variance(
    client: Client, folder: Path, pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    posterior = client.encode("bare", pixels[:3])
    close(posterior.mean["z"], encodings(in_range(pixels[:3])))
    assert posterior.log_variance == {}
    out = tmp_path / "z.npz"
    words = ["encode", folder / "photographs.zip", "--bundle", folder / "bare", "--out", out]
    assert run(list(map(str, words))) == 0
    assert list(arrays(out)) == ["z"]


def test_originals_of_photographs_are_their_reconstructions(
    client: Client, folder: Path, pixels: NDArray[np.uint8]
) -> None:
    made = client.hybridize(
        "own",
        client.model("own").layers[1].name,
        [0],
        originals=ImagePairs(pixels[:3], pixels[3:6]),
    )
    for found, given in ((made.original1, pixels[:3]), (made.original2, pixels[3:6])):
        expected = generated(folder, encodings(in_range(given)))
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    assert made.distinct_images == 6


def test_real_originals_are_drawn_from_the_photographs(
    client: Client, pixels: NDArray[np.uint8]
) -> None:
    found = latents(client, 30, Images(pixels))
    known = encodings(in_range(pixels))
    apart = np.abs(found[:, None] - known[None]).max(axis=2)  # (30, 40)
    assert apart.min(axis=1).max() < TOLERANCE
    assert len(set(apart.argmin(axis=1).tolist())) > 10


def test_encoded_originals_have_the_photographs_mean_and_covariance(
    client: Client, pixels: NDArray[np.uint8]
) -> None:
    count = 4000
    default, encoded = latents(client, count, None), latents(client, count, Encoded())
    np.testing.assert_array_equal(default, encoded)
    known = encodings(in_range(pixels))
    covariance = np.cov(known, rowvar=False)
    deviations = np.sqrt(np.diag(covariance))
    # Five standard errors of a mean, and of a covariance between normal variables.
    allowed = 5 / np.sqrt(count)
    assert (np.abs(encoded.mean(axis=0) - known.mean(axis=0)) < allowed * deviations).all()
    scale = np.outer(deviations, deviations) * np.sqrt(2)
    assert (np.abs(np.cov(encoded, rowvar=False) - covariance) < allowed * scale).all()


def test_without_originals_the_prior_is_the_default(client: Client) -> None:
    default, prior = (client.generate("bare", count=4, originals=x).images for x in (None, Prior()))
    np.testing.assert_array_equal(default, prior)
    with pytest.raises(InputError, match="model 'bare' has no encodings of training images"):
        client.generate("bare", count=4, originals=Encoded())


def test_inspect_tells_of_encoder_and_originals(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heads = []
    for name in ("own", "bare"):
        assert run(["inspect", str(folder / name)]) == 0
        heads.append(capsys.readouterr().out.splitlines()[:2])
    assert heads[0][0].endswith(", with encoder and originals")
    assert heads[0][1] == (
        "originals: fitted to the encodings of 40 photographs of photographs.zip, each cut to its "
        "centre and resized to 8 x 8, in [-1, 1]"
    )
    assert heads[1][0].endswith(", with encoder, without originals")


@pytest.mark.parametrize(
    "said", [["second,first"], ["second", "--encoder-outputs", "first"]], ids=["commas", "each"]
)
def test_outputs_are_named_with_commas_or_one_by_one(
    folder: Path, tmp_path: Path, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", folder / "generator.onnx", "--encoder", folder / "two.onnx"]
    words += ["--out", tmp_path / "other", "--encoder-outputs", *said]
    assert run(list(map(str, words))) == 0
    told = capsys.readouterr().err
    assert "output 'second' is the mean of 'z', 'first' its log-variance, as named" in told


def test_export_refuses_a_range_that_is_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(folder / "generator.onnx"), "--out", str(folder / "other")]
    assert run([*words, "--encoder", str(folder / "two.onnx"), "--encoder-range", "1"]) == 4
    assert "--encoder-range '1' is not two numbers with a comma" in capsys.readouterr().err
