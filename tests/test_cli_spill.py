"""Facts about `hybridize --region` and `find --graft`, where each channel paints one quarter."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from _cli_shell import Shell, arrays
from graftscope.client import Client, FoundChannels, HybridResult, Strip, spill
from torch_toys import BUMP_GROUPS, BUMP_SIDE

HALF = BUMP_SIDE // 2
QUARTER = f"0,0,{HALF},{HALF}"
"""What the channels of group 0 paint."""
INSIDE = np.zeros((BUMP_SIDE, BUMP_SIDE))
INSIDE[:HALF, :HALF] = 1.0
ROUNDING = 1e-6
"""The bumps' edges are where float32 rounds."""


@pytest.fixture(scope="module")
def bumps(bumps_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(bundles=[bumps_bundle], state=tmp_path_factory.mktemp("state")) as client:
        yield client


@pytest.fixture
def address(bumps: Client) -> str:
    return bumps.address


def members(*groups: int) -> str:
    return ",".join(str(channel) for channel, each in enumerate(BUMP_GROUPS) if each in groups)


def hybrids(channels: str) -> tuple[object, ...]:
    return ("hybridize", "--layer", "fc", "--channels", channels, "--pairs", 6)


@pytest.mark.parametrize(("groups", "share"), [((0,), 0.0), ((1, 2, 3), 1.0)])
def test_channels_of_a_quarter_spill_nothing_and_those_of_others_everything(
    shell: Shell, groups: tuple[int, ...], share: float
) -> None:
    told = shell.json(*hybrids(members(*groups)), "--region", QUARTER)
    assert told["spill"] == pytest.approx(share, abs=ROUNDING)
    assert told["spill_stderr"] == pytest.approx(0.0, abs=ROUNDING)
    assert told["area_outside"] == 0.75


def test_text_document_and_file_say_what_the_library_says(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "hybrids.npz"
    asked = (*hybrids(members(0, 1)), "--region", QUARTER, "--out", out)
    told = shell.json(*asked)
    made = HybridResult.load(out)
    found = spill(made.original1, made.hybrid, INSIDE)
    assert 0.2 < found.share < 0.8
    assert (told["spill"], told["spill_stderr"]) == (found.share, found.stderr)
    assert told["spill_of_pairs"] == found.of_pairs.tolist()
    held = arrays(out)
    np.testing.assert_array_equal(held["region"], INSIDE)
    assert (held["spill"], held["spill_stderr"]) == (found.share, found.stderr)
    np.testing.assert_array_equal(held["spill_of_pairs"], found.of_pairs)
    line = shell(*asked)[1].splitlines()[1]
    assert line == (
        f"{100 * found.share:.1f} ± {100 * found.stderr:.1f} % of the change falls outside the"
        " region, where 75.0 % of the picture lies"
    )


def test_a_painted_region_is_the_rectangle(shell: Shell, tmp_path: Path) -> None:
    Image.fromarray((255 * INSIDE).astype(np.uint8)).save(tmp_path / "mask.png")
    asked = hybrids(members(0, 1))
    painted = shell.json(*asked, "--region", tmp_path / "mask.png")
    assert painted == shell.json(*asked, "--region", QUARTER)


def test_a_graft_of_nothing_has_no_share(shell: Shell) -> None:
    code, out, _ = shell(*hybrids(""), "--region", QUARTER)
    assert code == 0
    assert "nothing changed, so nothing falls outside the region" in out
    assert shell.json(*hybrids(""), "--region", QUARTER)["spill"] is None


def test_each_strength_has_its_spill(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "strip.npz"
    asked = (*hybrids(members(0, 1)), "--region", QUARTER, "--strength", "0,0.5,1", "--out", out)
    told = shell.json(*asked)
    strip = Strip.load(out)
    whole = spill(strip.original1, strip.images[2], INSIDE)
    assert told["spill"][0] is None
    assert (told["spill"][2], told["spill_stderr"][2]) == (whole.share, whole.stderr)
    assert arrays(out)["spill_of_pairs"].shape == (3, 6)
    lines = shell(*asked)[1].splitlines()
    assert lines[1].startswith("strength 0: nothing changed")
    assert lines[3].startswith(f"strength 1: {100 * whole.share:.1f} ±")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--region", "0,0,40,8"), 4, "reaches beyond the image of 32"),
        (("--region", "0,0,32,32"), 4, "is the whole image"),
        (("--region", "nothing"), 4, "neither a picture nor a rectangle"),
        (("--region", "nothing.png"), 3, "no file nothing.png"),
        (("--region", QUARTER, "--encoding", "png"), 2, "leave out --encoding"),
    ],
)
def test_a_region_of_no_use_is_refused_before_hybrids_are_made(
    shell: Shell, tmp_path: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    ended, line = shell.refused(*hybrids("0"), *options, "--out", tmp_path / "out.npz")
    assert (ended, said in line) == (code, True), line
    assert not (tmp_path / "out.npz").exists()


def test_a_mask_of_another_size_is_refused(shell: Shell, tmp_path: Path) -> None:
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "small.png")
    _, line = shell.refused(*hybrids("0"), "--region", tmp_path / "small.png")
    assert "a region of 8 x 8 pixels is not of the model's images of 32 x 32" in line


def test_channels_that_find_ranks_spill_as_their_hybrids_do(shell: Shell, bumps: Client) -> None:
    told = shell.json("find", "--layer", "fc", "--pairs", 8, "--region", f"0,0,{HALF},{HALF + 4}")
    wider = INSIDE.copy()
    wider[:HALF, : HALF + 4] = 1.0
    for channel in (told["channels"][0], BUMP_GROUPS.index(1)):
        made = bumps.hybridize("toy-bumps", "fc", [channel], pairs=8)
        expected = spill(made.original1, made.hybrid, wider).share
        assert told["spill"][channel] == pytest.approx(expected, abs=ROUNDING)


def test_what_is_found_is_grafted_all_at_once_into_pairs_that_did_not_find_it(
    shell: Shell, bumps: Client, tmp_path: Path
) -> None:
    maps, out = tmp_path / "maps.npz", tmp_path / "found.npz"
    bumps.influence("toy-bumps", "fc", pairs=8, seed=3).save(maps)
    np.savez(tmp_path / "modules.npz", labels=np.array(BUMP_GROUPS))
    where = ("--region", f"0,0,{HALF},{BUMP_SIDE - 2}")
    modules = ("--modules", tmp_path / "modules.npz")
    asked = ("find", "--maps", maps, *where, "--graft", 5, *modules, "--out", out)
    told = shell.json(*asked)
    region = np.zeros((BUMP_SIDE, BUMP_SIDE))
    region[:HALF, : BUMP_SIDE - 2] = 1.0
    pairs = {"pairs": 5, "seed": 3, "first": 8}
    both = bumps.hybridize("toy-bumps", "fc", told["channels"], **pairs)  # type: ignore[call-overload]
    expected = spill(both.original1, both.hybrid, region)
    assert (told["grafted_spill"], told["grafted_spill_stderr"]) == (
        expected.share,
        expected.stderr,
    )
    np.testing.assert_allclose(told["modules_spill"][2:], 1.0, atol=ROUNDING)
    assert told["modules_spill"][0] == pytest.approx(0.0, abs=ROUNDING)
    held = arrays(out)
    assert held["grafted_spill"] == expected.share
    assert held["modules_spill_of_pairs"].shape == (4, 5)
    assert FoundChannels.load(out).channels == tuple(told["channels"])
    text = shell(*asked)[1]
    assert f"grafted all at once: {100 * expected.share:.1f} ±" in text
    assert "module 3: 100.0 ± 0.0 % of the change falls outside" in text
    computed = ("find", "--layer", "fc", "--pairs", 8, "--seed", 3, *where, "--graft", 5)
    assert shell.json(*computed)["grafted_spill"] == expected.share


def test_maps_of_an_unknown_model_cannot_be_grafted(shell: Shell, tmp_path: Path) -> None:
    maps = np.ones((3, 4, 4))
    maps[1, :2] = 5.0
    np.savez(tmp_path / "hand.npz", maps=maps)
    asked = ("find", "--maps", tmp_path / "hand.npz", "--region", "0,0,2,4", "--graft", 4)
    code, _, err = shell(*asked)
    assert code == 4
    assert "does not say its model, whose hybrids --graft is to make" in err
