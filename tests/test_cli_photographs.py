"""Facts about photographs that are edited: what is kept of them, and what need not be given.

Photograph 1 + (hybrid - original 1) is computed again from what comes back; a donor that an
intervention brings along is not asked for again.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from _cli_shell import Shell, arrays
from graftscope.client import (
    Client,
    Edit,
    HybridFiles,
    HybridResult,
    ImageDonor,
    ImagePairs,
    Images,
    Intervention,
    LatentPairs,
    Scale,
    StoredLatents,
    Swap,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.pictures import to_pixels
from request_toys import CHANNELS, LATENT, LAYER, SIDE, channels, edit, hybridize
from server_toys import Stubs

VAE = "toy-vae"
E = [0, 2, 5]
PHOTOGRAPHS = np.random.default_rng(4).integers(256, size=(3, SIDE, SIDE, 3), dtype=np.uint8)
OTHERS = np.random.default_rng(5).integers(256, size=(3, SIDE, SIDE, 3), dtype=np.uint8)
PAIRS = ImagePairs(PHOTOGRAPHS, OTHERS)
LOW, HIGH = -1.0, 1.0
ROUNDING = 1e-6
"""Of one sum of three numbers up to 2 in float32."""


@pytest.fixture
def address(toy_server: Stubs) -> str:
    return toy_server.address


def in_range(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return pixels.transpose(0, 3, 1, 2) / 127.5 - 1


def kept(client: Client, *edits: Edit, originals: Any = PAIRS, **said: Any) -> HybridResult:
    """Make hybrids whose photographs are kept."""
    given = Intervention(edits or [Edit(LAYER, E)])
    made: HybridResult = client.hybridize(
        VAE, intervention=given, originals=originals, keep_photo=True, **said
    )
    return made


def sums(made: HybridResult) -> NDArray[np.float64]:
    """Photograph 1 + (hybrid - original 1), before it is clipped."""
    assert made.photograph1 is not None
    parts = (made.photograph1, made.hybrid, made.original1)
    photograph, hybrid, original = (part.astype(np.float64) for part in parts)
    return photograph + (hybrid - original)


def test_an_edited_photograph_is_the_photograph_and_what_the_hybrid_changes(
    client: Client,
) -> None:
    made = kept(client)
    plain = client.hybridize(VAE, LAYER, E, originals=PAIRS)
    np.testing.assert_array_equal(made.hybrid, plain.hybrid)
    assert plain.photograph1 is None
    assert plain.edited is None
    assert made.photograph1 is not None
    assert made.edited is not None
    np.testing.assert_allclose(made.photograph1, in_range(PHOTOGRAPHS), atol=ROUNDING)
    expected = np.clip(sums(made), LOW, HIGH)
    np.testing.assert_allclose(made.edited, expected, rtol=0, atol=ROUNDING)
    assert np.abs(made.edited - made.photograph1).max() > 100 * ROUNDING


def test_an_intervention_on_nothing_leaves_the_photograph_as_it_is(client: Client) -> None:
    made = kept(client, Edit(LAYER, []))
    np.testing.assert_array_equal(made.edited, made.photograph1)
    assert made.clipped == 0


def test_what_leaves_the_range_is_clipped_and_counted(client: Client) -> None:
    made = kept(client, Edit(LAYER, range(CHANNELS), action=Scale(8.0)))
    outside = (sums(made) < LOW - ROUNDING) | (sums(made) > HIGH + ROUNDING)
    assert outside.mean() > 0.05
    assert made.clipped == pytest.approx(outside.mean(), abs=0.001)
    assert made.edited is not None
    assert (made.edited.min(), made.edited.max()) == (LOW, HIGH)


def test_photographs_that_are_drawn_are_those_of_originals_1(client: Client) -> None:
    made = kept(client, originals=Images(PHOTOGRAPHS), pairs=5, seed=3)
    alone = client.generate(VAE, count=5, seed=3, originals=Images(PHOTOGRAPHS))
    np.testing.assert_allclose(made.original1, alone.images, atol=2e-5)
    assert made.photograph1 is not None
    apart = np.abs(made.photograph1[:, None] - in_range(PHOTOGRAPHS)[None]).max(axis=(2, 3, 4))
    which = apart.argmin(axis=1)  # (5,)
    assert apart.min(axis=1).max() < ROUNDING
    first = PHOTOGRAPHS[which]
    again = client.hybridize(VAE, LAYER, [0], originals=ImagePairs(first, first))
    np.testing.assert_allclose(made.original1, again.original1, atol=2e-5)


def test_the_file_of_an_edited_photograph_is_its_array_in_8_bits(
    client: Client, tmp_path: Path
) -> None:
    made = kept(client)
    files = client.hybridize(VAE, LAYER, E, originals=PAIRS, keep_photo=True, encoding="png")
    files.save(tmp_path / "files")
    assert made.edited is not None
    for at, pixels in enumerate(to_pixels(made.edited, (LOW, HIGH))):
        with Image.open(tmp_path / "files" / f"{at:04d}-edited.png") as image:
            np.testing.assert_array_equal(np.asarray(image), pixels)
    assert files.clipped == made.clipped
    assert HybridFiles.load(tmp_path / "files") == files
    made.save(tmp_path / "made.npz")
    assert HybridResult.load(tmp_path / "made.npz") == made
    plain = client.hybridize(VAE, LAYER, E, originals=PAIRS, encoding="png")
    plain.save(tmp_path / "plain")
    assert HybridFiles.load(tmp_path / "plain") == plain


def test_only_photographs_can_be_kept(client: Client, toy_server: Stubs) -> None:
    with pytest.raises(UsageError, match="there is no photograph to keep: original 1 must be"):
        client.hybridize(VAE, LAYER, E, pairs=2, keep_photo=True)
    request = hybridize(edit(channels=channels(0)), keep_photo=True)
    with pytest.raises(Exception, match="keep_photo adds what changes to photographs, and orig"):
        toy_server.models.Hybridize(request)


DONORS: dict[str, Any] = {
    "image": Swap(ImageDonor(OTHERS[0])),
    "latents": Swap(StoredLatents({"z": np.full((1, LATENT), 0.5, np.float32)})),
    "scale": Scale(1.5),
}


@pytest.mark.parametrize("action", DONORS.values(), ids=DONORS)
def test_an_original_2_from_which_nothing_is_taken_need_not_be_given(
    client: Client, action: Any
) -> None:
    given = Intervention([Edit(LAYER, E, action=action)])
    whole = client.hybridize(VAE, intervention=given, originals=PAIRS)
    alone = client.hybridize(VAE, intervention=given, originals=ImagePairs(PHOTOGRAPHS))
    np.testing.assert_array_equal(alone.hybrid, whole.hybrid)
    np.testing.assert_array_equal(alone.original2, alone.original1)
    latents = client.encode(VAE, PHOTOGRAPHS).mean
    single = client.hybridize(VAE, intervention=given, originals=LatentPairs(latents))
    np.testing.assert_allclose(single.hybrid, whole.hybrid, atol=2e-5)
    maps = client.influence(VAE, interventions=[given], originals=ImagePairs(PHOTOGRAPHS))
    difference = np.abs(whole.hybrid - whole.original1).mean(axis=(0, 1))
    np.testing.assert_allclose(maps.maps[0], difference, atol=2e-5)


def test_an_original_2_from_which_values_are_taken_must_be_given(client: Client) -> None:
    with pytest.raises(UsageError, match="ImagePairs holds original 1 alone, and values are taken"):
        client.hybridize(VAE, LAYER, E, originals=ImagePairs(PHOTOGRAPHS))
    with pytest.raises(UsageError, match="LatentPairs holds original 1 alone"):
        client.influence(VAE, LAYER, originals=LatentPairs({"z": np.zeros((2, LATENT))}))
    with pytest.raises(InputError, match="original 1 is given 3 times and original 2 1 times"):
        client.hybridize(VAE, LAYER, E, originals=ImagePairs(PHOTOGRAPHS, OTHERS[:1]))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a photograph, and interventions with and without a donor of their own."""
    Image.fromarray(PHOTOGRAPHS[0]).save(tmp_path / "one.png")
    Intervention([Edit(LAYER, E, action=DONORS["image"])]).save(tmp_path / "own.json")
    Intervention([Edit(LAYER, E)]).save(tmp_path / "second.json")
    return tmp_path


def test_a_photograph_alone_is_edited_with_the_donor_of_the_file(shell: Shell, files: Path) -> None:
    given = ("hybridize", "--model", VAE, "--image1", files / "one.png", "--intervene")
    out = files / "out.npz"
    code, told, _ = shell(*given, files / "own.json", "--keep-photo", "--out", out)
    assert code == 0
    assert "edited photographs: photograph 1 + (hybrid - original 1), " in told
    assert "% of the values clipped to [-1, 1]\n" in told
    found = arrays(out)
    np.testing.assert_allclose(found["photograph1"], in_range(PHOTOGRAPHS[:1]), atol=ROUNDING)
    assert {"edited", "original1", "original2", "hybrid"} < set(found)
    document = shell.json(*given, files / "own.json", "--keep-photo")
    assert document["clipped_share"] < 0.005
    assert "clipped_share" not in shell.json(*given, files / "own.json")
    code, line = shell.refused(*given, files / "second.json")
    assert "--image1 and --image2 go together" in line


@pytest.mark.parametrize("verb", ["hybridize", "influence"])
def test_latents_1_alone_are_enough_for_a_donor_of_the_file(
    shell: Shell, files: Path, verb: str
) -> None:
    np.savez(files / "z.npz", z=np.zeros((2, LATENT), np.float32))
    given = (verb, "--model", VAE, "--latents1", files / "z.npz", "--intervene")
    assert shell(*given, files / "own.json")[0] == 0
    _, line = shell.refused(*given, files / "second.json")
    assert "--latents1 and --latents2 go together" in line


def test_a_picture_has_a_row_for_everything_that_was_given(shell: Shell, files: Path) -> None:
    given = ("hybridize", "--model", VAE, "--image1", files / "one.png", "--out")
    heights = []
    for name, options in (
        ("two.png", ("--intervene", files / "own.json")),
        ("four.png", ("--intervene", files / "own.json", "--keep-photo")),
        (
            "five.png",
            ("--image2", files / "one.png", "--layer", LAYER, "--channels", "1", "--keep-photo"),
        ),
    ):
        code, _, err = shell(*given, files / name, *options)
        assert code == 0, err
        with Image.open(files / name) as picture:
            heights.append(picture.height)
    row = (heights[1] - heights[0]) / 2
    assert heights[2] - heights[1] == row
    assert heights[0] == pytest.approx(2 * row, abs=10)
