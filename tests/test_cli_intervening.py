"""Facts about interventions through the command line, with a real server and real generators.

What every action must give is known from another way to say the same.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from _cli_shell import Shell, arrays
from graftscope.client import (
    PRIOR_MEAN,
    Add,
    Blend,
    Client,
    Constant,
    Edit,
    ImageDonor,
    Intervention,
    ModuleOf,
    Rectangle,
    Scale,
    StoredLatents,
    Swap,
)
from request_toys import CHANNELS, LATENT, LAYER, SIDE
from server_toys import Stubs

VAE = "toy-vae"
SKIP = "toy-skip"
E = [0, 2, 5]
CLOSE = 2e-5
"""1e-5 of the image range's width, which is 2."""


@pytest.fixture
def address(toy_server: Stubs) -> str:
    return toy_server.address


@pytest.fixture
def hybrids(shell: Shell, tmp_path: Path) -> Any:
    """Makes hybrids of an intervention through a file, and gives all arrays."""

    def make(*edits: Edit, options: tuple[object, ...] = ("--pairs", 3)) -> dict[str, Any]:
        file, out = tmp_path / "i.json", tmp_path / "out.npz"
        Intervention(edits).save(file)
        code, _, err = shell(
            "hybridize", "--model", VAE, "--intervene", file, *options, "--out", out
        )
        assert code == 0, err
        return arrays(out)

    return make


def assert_close(found: NDArray[np.floating], expected: NDArray[np.floating]) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE)


VECTOR = np.linspace(-1.0, 1.0, CHANNELS)
ACTIONS = {
    "swap": Swap(),
    "stored latents": Swap(StoredLatents({"z": np.full((1, LATENT), 0.5)})),
    "image": Swap(ImageDonor(np.full((SIDE, SIDE, 3), 90, np.uint8))),
    "constant": Constant(0.25),
    "prior mean": Constant(PRIOR_MEAN),
    "constant array": Constant(VECTOR),
    "scale": Scale(1.5),
    "add": Add(0.25),
    "add an array": Add(VECTOR),
    "blend": Blend(0.5),
    "blend with an image": Blend(2.0, ImageDonor(np.full((SIDE, SIDE, 3), 90, np.uint8))),
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_every_action_changes_original_1_at_one_layer_and_at_two(hybrids: Any, action: Any) -> None:
    one = hybrids(Edit(LAYER, E, action=action))
    two = hybrids(Edit("coarse", [1], action=Scale(3.0)), Edit(LAYER, E, action=action))
    np.testing.assert_array_equal(one["original1"], two["original1"])
    for found in (one, two):
        assert np.isfinite(found["hybrid"]).all()
        assert np.abs(found["hybrid"] - found["original1"]).max() > 100 * CLOSE
    assert np.abs(one["hybrid"] - two["hybrid"]).max() > CLOSE


@pytest.mark.parametrize("action", [Scale(1.0), Add(0.0), Blend(0.0)], ids=str)
def test_actions_that_change_nothing_give_original_1(hybrids: Any, action: Any) -> None:
    found = hybrids(Edit(LAYER, E, action=action))
    assert_close(found["hybrid"], found["original1"])


def test_what_can_be_said_in_two_ways_gives_the_same(hybrids: Any) -> None:
    zero = hybrids(Edit(LAYER, E, action=Constant(0.0)))
    assert_close(hybrids(Edit(LAYER, E, action=Scale(0.0)))["hybrid"], zero["hybrid"])
    swap = hybrids(Edit(LAYER, E))
    assert_close(hybrids(Edit(LAYER, E, action=Blend(1.0)))["hybrid"], swap["hybrid"])
    labels = np.isin(np.arange(CHANNELS), E).astype(int)
    module = hybrids(Edit(LAYER, module=ModuleOf(labels, 1)))
    np.testing.assert_array_equal(module["hybrid"], swap["hybrid"])


def test_every_channel_from_stored_latents_gives_their_sample(hybrids: Any, client: Client) -> None:
    donor = client.generate(VAE, count=1, seed=9)
    every = Edit(LAYER, range(CHANNELS), action=Swap(StoredLatents(donor.latents)))
    assert_close(hybrids(every)["hybrid"], np.repeat(donor.images, 3, axis=0))


def test_an_image_is_the_donor_through_the_encoder(hybrids: Any, client: Client) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.uint8)
    latents = client.encode(VAE, image).mean
    found = hybrids(Edit(LAYER, E, action=Swap(ImageDonor(image))))
    expected = hybrids(Edit(LAYER, E, action=Swap(StoredLatents(latents))))
    assert_close(found["hybrid"], expected["hybrid"])


def test_a_mask_and_its_complement_make_the_whole(hybrids: Any, client: Client) -> None:
    size = client.model(VAE).layer(LAYER)
    left = Rectangle(0, 0, size.height, 1)
    mask = np.ones((size.height, size.width), bool)
    mask[:, 0] = False
    whole = hybrids(Edit(LAYER, E))
    both = hybrids(Edit(LAYER, E, mask=left), Edit(LAYER, E, mask=mask))
    assert_close(both["hybrid"], whole["hybrid"])
    part = hybrids(Edit(LAYER, E, mask=left))
    assert np.abs(part["hybrid"] - whole["hybrid"]).max() > CLOSE


def test_pictures_beside_the_file_are_mask_and_donor(shell: Shell, tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (90, 90, 90)).save(tmp_path / "photo.jpg")
    half = np.zeros((64, 64), np.uint8)
    half[:32] = 255
    Image.fromarray(half).save(tmp_path / "top.png")
    edit = {"layer": LAYER, "channels": {"indices": E}, "swap": {"image": "photo.jpg"}}
    (tmp_path / "i.json").write_text(json.dumps({"edits": [edit | {"mask": {"array": "top.png"}}]}))
    given = ("hybridize", "--model", VAE, "--intervene", tmp_path / "i.json")
    whole = tmp_path / "whole.json"
    assert shell(*given, "--save-intervention", whole, "--out", tmp_path / "a.npz")[0] == 0
    (tmp_path / "photo.jpg").unlink()
    again = ("hybridize", "--model", VAE, "--intervene", whole, "--out", tmp_path / "b.npz")
    assert shell(*again)[0] == 0
    found = arrays(tmp_path / "a.npz")["hybrid"]
    np.testing.assert_array_equal(found, arrays(tmp_path / "b.npz")["hybrid"])


def test_maps_of_a_swap_are_those_of_its_channels(
    shell: Shell, client: Client, tmp_path: Path
) -> None:
    files: list[object] = []
    for name, edit in {"swap": Edit(LAYER, E), "zero": Edit(LAYER, E, action=Scale(0))}.items():
        path = tmp_path / f"{name}.json"
        Intervention([edit]).save(path)
        files += ["--intervene", path]
    out = tmp_path / "maps.npz"
    code, told, err = shell("influence", "--model", VAE, *files, "--pairs", 40, "--out", out)
    assert code == 0, err
    assert f"3 channels of {LAYER}: scale by 0" in told
    labels = np.where(np.isin(np.arange(CHANNELS), E), 0, -1)
    expected = client.influence(VAE, LAYER, labels=labels, pairs=40)
    assert_close(arrays(out)["maps"][0], expected.maps[0])
    assert_close(arrays(out)["stderr"][0], expected.stderr[0])


def test_a_result_tells_its_interventions_also_by_its_operations_name(client: Client) -> None:
    donor = ImageDonor(np.full((SIDE, SIDE, 3), 90, np.uint8))
    asked = [
        Intervention([Edit(LAYER, E, action=Blend(0.5, donor)), Edit("coarse", [1])]),
        Intervention([Edit(LAYER, [1], action=Add(VECTOR))]),
    ]
    found = client.influence(VAE, interventions=asked, pairs=3)
    again = client.result(found.operation)
    assert again.interventions == found.interventions  # type: ignore[union-attr]
    told = [[edit.action for edit in each.edits] for each in found.interventions]
    assert told == [[edit.action for edit in each.edits] for each in asked]
    assert (found.layer, len(found.maps)) == ("", 2)


def test_originals_that_share_every_input_are_the_same(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    options = ("--model", VAE, "--channels", "0,1", "--layer", LAYER, "--out", out)
    assert shell("hybridize", *options, "--share", "z")[0] == 0
    found = arrays(out)
    np.testing.assert_array_equal(found["original1"], found["original2"])
    np.testing.assert_array_equal(found["original1"], found["hybrid"])


def test_fixed_inputs_are_the_same_in_every_sample(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "samples.npz"
    assert shell("generate", "--model", SKIP, "--fix", "noise=0.5", "--out", out)[0] == 0
    found = arrays(out)
    np.testing.assert_array_equal(found["noise"], 0.5)
    assert np.ptp(found["z"]) > 0


def test_latents_that_lack_an_input_are_refused_by_name_unless_it_is_fixed(
    shell: Shell, client: Client, tmp_path: Path
) -> None:
    path, layer = tmp_path / "z.npz", client.model(SKIP).layers[-1].name
    np.savez(path, z=np.zeros((2, 8), np.float32))
    sides = ("--latents1", path, "--latents2", path)
    given = ("hybridize", "--model", SKIP, "--layer", layer, "--channels", 0, *sides)
    code, line = shell.refused(*given)
    assert (code, "'noise'" in line) == (4, True)
    assert shell(*given, "--fix", "noise=0")[0] == 0


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([Edit(LAYER, [CHANNELS])], f"channel {CHANNELS} is not in layer"),
        ([Edit(LAYER, E), Edit("intermediate", [5])], "channel 5"),
        ([Edit(LAYER, E, mask=Rectangle(0, 0, 99, 1))], "the rectangle covers rows 0 to 98"),
        ([Edit(LAYER, E, action=Constant(np.zeros(3)))], "(3,)"),
        ([Edit(LAYER, E, action=Swap(StoredLatents({"y": np.zeros((1, 3))})))], "'y'"),
    ],
)
def test_what_the_server_refuses_is_one_line(
    shell: Shell, tmp_path: Path, edits: list[Edit], message: str
) -> None:
    Intervention(edits).save(tmp_path / "i.json")
    code, line = shell.refused("hybridize", "--model", VAE, "--intervene", tmp_path / "i.json")
    assert code == 4
    assert message in line
