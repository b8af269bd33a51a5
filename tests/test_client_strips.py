"""Facts about hybrids of several strengths, as values, as pictures and on the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from _cli_shell import Shell, arrays
from graftscope.client import (
    Add,
    Blend,
    Client,
    Constant,
    Edit,
    Execution,
    ImagePairs,
    Intervention,
    LatentPairs,
    Model,
    Scale,
    StoredLatents,
    Strip,
    Swap,
)
from graftscope.client.errors import InputError, UsageError
from torch_hooking import hooked, keep
from torch_toys import SMALL, small_generator

CHANNELS = [0, 2, 3]
STRENGTHS = [-0.5, 0, 0.25, 1, 1.5]
GIVEN: dict[str, Any] = {"pairs": 3, "seed": 7}
CLOSE = 1e-5
"""Of images in [-1, 1]: float32 through two frameworks."""


@pytest.fixture(scope="module")
def address(toy_client: Client) -> str:
    return toy_client.address


@pytest.fixture(scope="module")
def strip(toy_client: Client) -> Strip:
    return toy_client.strip("toy-vae", "coarse", CHANNELS, strengths=STRENGTHS, **GIVEN)


def test_zero_is_original_1_and_one_the_hybrid_to_the_bit(toy_client: Client, strip: Strip) -> None:
    hybrids = toy_client.hybridize("toy-vae", "coarse", CHANNELS, **GIVEN)
    np.testing.assert_array_equal(strip.images[1], hybrids.original1)
    np.testing.assert_array_equal(strip.images[3], hybrids.hybrid)
    np.testing.assert_array_equal(strip.original1, hybrids.original1)
    np.testing.assert_array_equal(strip.original2, hybrids.original2)
    assert strip.images.shape == (5, *hybrids.hybrid.shape)
    assert strip.strengths.tolist() == STRENGTHS
    assert strip.image_range == toy_client.model("toy-vae").image.range


def test_the_ends_are_those_of_blends_so_that_no_step_leads_to_them(
    toy_client: Client, strip: Strip
) -> None:
    for weight, image in ((0, strip.images[1]), (1, strip.images[3])):
        blend = Intervention([Edit("coarse", CHANNELS, action=Blend(weight))])
        made = toy_client.hybridize("toy-vae", intervention=blend, **GIVEN)
        np.testing.assert_array_equal(made.hybrid, image)


def blended(model: Model, layer: str, first: Any, second: Any, weight: float) -> Any:
    """What a hook of PyTorch makes of the same latents."""
    network, hook = small_generator(), model.layer(layer).torch_hook
    seen: list[torch.Tensor] = []
    assert hook is not None
    with torch.no_grad():
        with hooked(network, hook, keep(seen)):  # type: ignore[arg-type]  # the same fields
            network(torch.from_numpy(second))

        def edit(activation: torch.Tensor) -> torch.Tensor:
            changed = activation.clone()
            mixed = weight * seen[0] + (1 - weight) * activation
            changed[:, CHANNELS] = mixed[:, CHANNELS]
            return changed

        with hooked(network, hook, edit):  # type: ignore[arg-type]
            return network(torch.from_numpy(first)).numpy()


@pytest.mark.parametrize("layer", ["coarse", "intermediate"])
def test_between_and_beyond_channels_are_blended_as_a_hook_blends_them(
    toy_client: Client, layer: str
) -> None:
    random = np.random.default_rng(1)
    first, second = (
        random.standard_normal((4, SMALL.latent_size)).astype(np.float32) for _ in range(2)
    )
    pairs = LatentPairs({"z": first}, {"z": second})
    found = toy_client.strip("toy-vae", layer, CHANNELS, originals=pairs, strengths=STRENGTHS)
    model = toy_client.model("toy-vae")
    for strength, image in zip(STRENGTHS, found.images, strict=True):
        expected = blended(model, layer, first, second, strength)
        np.testing.assert_allclose(image, expected, atol=CLOSE)


def test_a_module_has_strengths_as_its_channels_have(toy_client: Client, strip: Strip) -> None:
    channels = toy_client.model("toy-vae").layer("coarse").channels
    labels = np.where(np.isin(np.arange(channels), CHANNELS), 1, 0)
    of_module: dict[str, Any] = {"labels": labels, "module": 1, "strengths": STRENGTHS}
    found = toy_client.strip("toy-vae", "coarse", **of_module, **GIVEN)
    np.testing.assert_array_equal(found.images, strip.images)


def test_a_kept_photograph_is_what_a_strip_begins_with(toy_client: Client) -> None:
    image = toy_client.model("toy-vae").image
    size = (2, image.height, image.width, image.channels)
    photos = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    said: dict[str, Any] = {"originals": ImagePairs(photos, photos[::-1]), "keep_photo": True}
    whole = toy_client.hybridize("toy-vae", "coarse", CHANNELS, **said)
    found = toy_client.strip("toy-vae", "coarse", CHANNELS, strengths=[0, 1], **said)
    assert whole.edited is not None
    np.testing.assert_array_equal(found.images[0], whole.photograph1)
    np.testing.assert_array_equal(found.original1, whole.photograph1)
    low, high = image.range
    np.testing.assert_allclose(np.clip(found.images[1], low, high), whole.edited, atol=CLOSE)


def test_strengths_of_zero_alone_give_the_originals(toy_client: Client, strip: Strip) -> None:
    found = toy_client.strip("toy-vae", "coarse", CHANNELS, strengths=[0, 0], **GIVEN)
    np.testing.assert_array_equal(found.images, np.stack([strip.original1] * 2))


def test_every_action_but_a_constant_is_done_in_part() -> None:
    latents = StoredLatents({"z": np.ones((1, 4), np.float32)})

    def half(action: Any) -> Any:
        return Intervention([Edit("a", [0], action=action)]).at_strength(0.5).edits[0].action

    assert half(Swap(latents)) == Blend(0.5, latents)
    assert half(Blend(0.25)) == Blend(0.125)
    assert half(Scale(3)) == Scale(2)
    assert half(Add(np.array([1.0, 4.0]))) == Add(np.array([0.5, 2.0]))
    assert half(Add(3)) == Add(1.5)
    with pytest.raises(InputError, match=r"constant 0 has no strength 0\.5: swap, blend"):
        half(Constant(0))
    constant = Intervention([Edit("a", [0], action=Constant(0))])
    assert constant.at_strength(1) == constant
    with pytest.raises(InputError, match="strength 'much' is not a number"):
        constant.at_strength("much")  # type: ignore[arg-type]


def test_a_strip_comes_back_equal(strip: Strip, tmp_path: Path) -> None:
    strip.save(tmp_path / "strip.npz")
    assert Strip.load(tmp_path / "strip.npz") == strip
    assert repr(strip).endswith("strengths -0.5, 0, 0.25, 1, 1.5>")


@pytest.mark.parametrize(
    ("strengths", "words"),
    [
        ([], "no strengths: name at least one"),
        ([0, 11], "strength 11 is not allowed: it must be from -10 to 10"),
        ([float("nan")], "strength nan is not allowed: it must be finite"),
        (0.5, "strengths 0.5 is not a list"),
    ],
)
def test_what_is_no_strength_is_refused(toy_client: Client, strengths: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        toy_client.strip("toy-vae", "coarse", [0], strengths=strengths)


def made_of(values: list[list[float]], takes_original2: bool = True) -> Strip:
    """A strip of flat images, (S, B) of these values."""
    images = np.broadcast_to(
        np.array(values, np.float32)[..., None, None, None], (len(values), len(values[0]), 3, 8, 8)
    )
    donor = np.full(images.shape[1:], 1, np.float32)
    strengths = np.linspace(0, 1, len(values))
    low_high = (-1.0, 1.0)
    cpu = Execution("", None, "")
    return Strip(strengths, images, images[0], donor, "", low_high, 0, cpu, "toy", takes_original2)


def centres(picture: Image.Image, columns: int, rows: int) -> list[list[int]]:
    """Grey levels in the middle of each place of a grid below its headings."""
    side, gap = 128, 6
    pixels = np.asarray(picture.convert("L"))
    top = pixels.shape[0] - rows * (side + gap) - gap
    return [
        [
            int(pixels[top + gap + r * (side + gap) + 64, gap + c * (side + gap) + 64])
            for c in range(columns)
        ]
        for r in range(rows)
    ]


def test_side_by_side_strengths_are_columns_pairs_rows_and_original_2_the_end(
    tmp_path: Path,
) -> None:
    values = [[-1.0, 1.0], [0.0, 0.0], [3.0, -3.0]]
    made_of(values).draw(tmp_path / "strip.png")
    made_of(values, takes_original2=False).draw(tmp_path / "alone.png")
    with Image.open(tmp_path / "strip.png") as found, Image.open(tmp_path / "alone.png") as alone:
        assert centres(found, 4, 2) == [[0, 128, 255, 255], [255, 128, 0, 255]]
        assert alone.width == found.width - 134


@pytest.mark.parametrize(("name", "exact"), [("strip.gif", 3), ("strip.webp", 0)])
def test_an_animation_goes_forth_through_the_strengths_and_begins_anew(
    name: str, exact: int, tmp_path: Path
) -> None:
    made_of([[-1.0, 1.0], [0.0, 0.0], [1.0, -1.0]]).draw(tmp_path / name)
    seen, times = [], []
    with Image.open(tmp_path / name) as found:
        assert found.n_frames == 3  # type: ignore[attr-defined]  # of animations
        assert found.info["loop"] == 0
        for at in range(3):
            found.seek(at)
            found.load()
            times.append(found.info["duration"])
            seen.append(centres(found, 2, 1)[0])
    np.testing.assert_allclose(seen, [[0, 255], [128, 128], [255, 0]], atol=exact)
    assert times[1] < times[0] == times[2]


def test_what_leaves_the_range_is_counted_and_kept_in_arrays(tmp_path: Path) -> None:
    strip = made_of([[0.0], [2.0]])
    assert strip.clipped == 0.5
    strip.save(tmp_path / "strip.npz")
    assert Strip.load(tmp_path / "strip.npz").images.max() == 2
    with pytest.raises(InputError, match=r"must end in \.png or \.gif or \.webp"):
        strip.draw(tmp_path / "strip.jpg")


COMMAND = ("hybridize", "--layer", "coarse", "--channels", "0,2,3", "--pairs", 3, "--seed", 7)


def test_the_command_line_writes_what_python_gives(
    shell: Shell, strip: Strip, tmp_path: Path
) -> None:
    strengths = ("--strength", "-0.5,0,0.25", "--strength", "1,1.5")
    document = shell.json(*COMMAND, *strengths, "--out", tmp_path / "strip.npz")
    written = arrays(tmp_path / "strip.npz")
    np.testing.assert_array_equal(written["images"], strip.images)
    assert document["strengths"] == STRENGTHS
    changes = document["change_share"]
    assert changes[1] == 0 < changes[2] < changes[3] < changes[4]
    assert document["clipped_share"] == strip.clipped
    for name in ("strip.png", "strip.gif", "strip.webp"):
        code, out, _ = shell(*COMMAND, *strengths, "--out", tmp_path / name)
        assert code == 0
        assert "3 pairs of toy-vae at coarse with strengths -0.5, 0, 0.25, 1, 1.5" in out
        strip.draw(tmp_path / f"python-{name}")
        assert (tmp_path / name).read_bytes() == (tmp_path / f"python-{name}").read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--strength", "0,much"), "--strength 'much' is not a number"),
        (("--strength", "11"), "--strength 11 is not allowed: it must be from -10 to 10"),
        (("--strength", "1", "--encoding", "png"), "leave out one of them"),
        (("--strength", "1", "--out", "x.jpg"), "must end in .npz or .png or .gif or .webp"),
        (("--out", "x.gif"), "must end in .npz or .png"),
    ],
)
def test_what_does_not_go_with_strengths_is_refused(
    options: tuple[str, ...], words: str, shell: Shell
) -> None:
    assert words in shell.refused(*COMMAND, *options)[1]


def test_a_strip_says_where_in_one_way(toy_client: Client) -> None:
    with pytest.raises(UsageError, match="say which channels"):
        toy_client.strip("toy-vae", "coarse")
