"""Facts about `find`: on generators whose channels' places are known, it returns exactly those."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from _cli_shell import Shell, arrays
from graftscope.client import Client, find_channels, rectangle_region
from graftscope.client.arrays import Source, read_source, write_npz
from graftscope.client.cli import run
from torch_toys import BUMP_GROUPS, BUMP_SIDE

HALF = BUMP_SIDE // 2
CORNERS = [divmod(group, 2) for group in range(4)]
# The bumps' edges are where float32 rounds.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def bumps(bumps_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> "Client":
    return Client(bundles=[bumps_bundle], state=tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module", autouse=True)
def closed(bumps: Client) -> Any:
    yield
    bumps.close()


@pytest.fixture
def address(bumps: Client) -> str:
    return bumps.address


@pytest.fixture(scope="module")
def maps(bumps: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("maps") / "maps.npz"
    bumps.influence("toy-bumps", "fc", pairs=40).save(path)
    return path


def quarter(group: int) -> str:
    row, column = CORNERS[group]
    return f"{HALF * row},{HALF * column},{HALF},{HALF}"


def members(group: int) -> list[int]:
    return [channel for channel, each in enumerate(BUMP_GROUPS) if each == group]


@pytest.mark.parametrize("group", range(4))
def test_a_rectangle_over_a_bump_finds_exactly_its_channels(
    shell: Shell, maps: Path, group: int
) -> None:
    found = shell.json("find", "--maps", maps, "--region", quarter(group))
    assert sorted(found["channels"]) == members(group)


def test_a_painted_mask_finds_what_the_rectangle_finds(
    shell: Shell, maps: Path, tmp_path: Path
) -> None:
    pixels = np.zeros((4 * BUMP_SIDE, 4 * BUMP_SIDE), np.uint8)
    pixels[: 4 * HALF, 4 * HALF :] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    painted = shell.json("find", "--maps", maps, "--region", tmp_path / "mask.png")
    assert painted == shell.json("find", "--maps", maps, "--region", quarter(1))


def test_the_library_finds_what_the_command_finds(shell: Shell, bumps: Client, maps: Path) -> None:
    result = bumps.influence("toy-bumps", "fc", pairs=40)
    region = rectangle_region(0, 0, HALF, HALF, image_height=BUMP_SIDE, image_width=BUMP_SIDE)
    found = find_channels(result, region)
    told = shell.json("find", "--maps", maps, "--region", quarter(0))
    assert list(found.channels) == told["channels"]
    assert found.source == result.source


def test_maps_that_are_not_given_are_computed(shell: Shell) -> None:
    asked = ("find", "--layer", "fc", "--pairs", 40, "--region", quarter(2))
    assert sorted(shell.json(*asked)["channels"]) == members(2)
    assert "estimate" in shell.json(*asked, "--seed", 9, "--dry-run")


def test_hybrids_of_what_was_found_change_only_inside(
    shell: Shell, maps: Path, tmp_path: Path
) -> None:
    out, hybrids = tmp_path / "found.npz", tmp_path / "hybrids.npz"
    code, told, _ = shell("find", "--maps", maps, "--region", quarter(3), "--out", out)
    assert code == 0
    assert told.startswith("6 of 24 channels of layer fc of toy-bumps@")
    assert arrays(out)["labels"].tolist() == [0 if g == 3 else -1 for g in BUMP_GROUPS]
    assert read_source(out) == read_source(maps)
    assert shell("hybridize", "--modules", out, "--module", 0, "--out", hybrids)[0] == 0
    images = arrays(hybrids)
    change = np.abs(images["hybrid"] - images["original1"]).max(axis=(0, 1))
    assert change[HALF:, HALF:].max() > 0.1
    change[HALF:, HALF:] = 0.0
    assert change.max() < TOLERANCE
    assert shell("influence", "--modules", out, "--pairs", 8)[0] == 0


def test_modules_are_ranked_beside_the_channels(shell: Shell, maps: Path, tmp_path: Path) -> None:
    write_npz(tmp_path / "modules.npz", {"labels": np.array(BUMP_GROUPS)})
    asked = ("find", "--maps", maps, "--region", quarter(2), "--modules", tmp_path / "modules.npz")
    scores = shell.json(*asked)["modules"]["scores"]
    # None is JSON's infinity: outside of its quarter a bump is zero.
    assert [score is None for score in scores] == [group == 2 for group in range(4)]
    _, told, _ = shell(*asked)
    assert told.splitlines()[-5].split()[:4] == ["module", "inside", "/", "outside"]
    assert told.splitlines()[-4].split()[:2] == ["2", "inf"]


def test_the_halves_of_a_generator_of_two_blocks_are_told_apart(
    block_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = ["--bundle", str(block_bundle), "--state", str(tmp_path), "--pairs", "32"]
    for region, channels in (("0,0,4,3", [0, 1]), ("0,5,4,3", [2, 3])):
        asked = ["find", "--layer", "fc", "--region", region, "--json", *server]
        assert run(asked) == 0
        assert sorted(json.loads(capsys.readouterr().out)["channels"]) == channels


def test_the_region_is_drawn_over_the_maps(shell: Shell, maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.png"
    assert shell("find", "--maps", maps, "--region", quarter(1), "--picture", out)[0] == 0
    with Image.open(out) as image:
        assert image.format == "PNG"
        assert image.width > image.height > 300


def test_maps_of_one_pair_are_compared_without_errors_and_that_is_said(
    shell: Shell, bumps: Client, tmp_path: Path
) -> None:
    bumps.influence("toy-bumps", "fc", pairs=1).save(tmp_path / "one.npz")
    code, out, err = shell("find", "--maps", tmp_path / "one.npz", "--region", quarter(0))
    assert code == 0
    assert "channels of layer fc" in out
    assert err.endswith("is of too few pairs for standard errors: only means are compared\n")


def test_maps_made_by_hand_take_rectangles_in_their_own_pixels(
    shell: Shell, tmp_path: Path
) -> None:
    by_hand = np.ones((3, 4, 4))
    by_hand[1, :2] = 5.0
    write_npz(tmp_path / "hand.npz", {"maps": by_hand})
    code, out, err = shell("find", "--maps", tmp_path / "hand.npz", "--region", "0,0,2,4")
    assert (code, out.splitlines()[0]) == (0, "1 of 3 channels act inside the region")
    assert "in pixels of its maps" in err


Change = Callable[[Path, Path], tuple[object, ...]]


def _other_model(maps: Path, folder: Path) -> tuple[object, ...]:
    source = Source("other", "e" * 64, "fc", "operations/1")
    write_npz(folder / "other.npz", arrays(maps), source.to_comment())
    return "--maps", folder / "other.npz", "--region", "0,0,8,8"


def _some_channels(maps: Path, folder: Path) -> tuple[object, ...]:
    write_npz(folder / "some.npz", {"maps": np.ones((2, 4, 4)), "channels": np.array([1, 5])})
    return "--maps", folder / "some.npz", "--region", "0,0,2,2"


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        (lambda m, f: ("--maps", m, "--region", "0,0,40,8"), 4, "reaches beyond the image of 32"),
        (lambda m, f: ("--maps", m, "--region", "0,0,32,32"), 4, "is the whole image"),
        (lambda m, f: ("--maps", m, "--region", "left half"), 4, "neither a picture nor a rect"),
        (lambda m, f: ("--maps", m, "--region", f / "none.png"), 3, "none.png"),
        (lambda m, f: ("--maps", m, "--region", "0,0,8,32", "--at-least", 9), 3, "no channel is f"),
        (lambda m, f: ("--maps", m, "--region", "0,0,8,8", "--top", 0), 4, "top 0"),
        (lambda m, f: ("--maps", m, "--region", "0,0,8,8", "--out", f / "a.png"), 4, ".npz"),
        (lambda m, f: ("--maps", m, "--region", "0,0,8,8", "--picture", f / "a.npz"), 4, ".png"),
        (lambda m, f: ("--maps", m), 2, "--region"),
        (_other_model, 4, "name its bundle with --bundle, or give a mask"),
        (_some_channels, 4, "the channels 1, 5 alone: find needs those of a whole layer"),
    ],
)
def test_what_cannot_be_found_is_one_line(
    shell: Shell, maps: Path, tmp_path: Path, changed: Change, code: int, said: str
) -> None:
    told = shell.refused("find", *changed(maps, tmp_path))
    assert told[0] == code
    assert said in told[1]
