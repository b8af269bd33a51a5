"""Facts about interventions on the command line: what is asked for, written, told and refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from _cli_shell import Shell, arrays
from _fake_model import CHANNELS, SIDE
from _fake_server import Faults
from graftscope.client import (
    Edit,
    ImageDonor,
    Intervention,
    Rectangle,
    Scale,
    StoredLatents,
    Swap,
)
from graftscope.client.interventions import edits_of, inline

SEVERAL = Intervention(
    [Edit("conv1", [0, 3], action=Scale(2.0)), Edit("fine", [1], mask=Rectangle(0, 0, 1, 1))]
)


def saved(path: Path, *edits: Edit) -> Path:
    Intervention(edits).save(path)
    return path


def asked(faults: Faults) -> Any:
    return faults.asked[-1]


def intervention_asked(faults: Faults) -> Intervention:
    return Intervention(edits_of(asked(faults).intervention, inline))


def test_hybridize_asks_for_the_intervention_of_the_file(
    shell: Shell, faults: Faults, tmp_path: Path
) -> None:
    edits = (Edit("conv1", [0, 3], action=Scale(2.0)), Edit("conv2", [1]))
    document = shell.json("hybridize", "--intervene", saved(tmp_path / "i.json", *edits))
    assert intervention_asked(faults) == Intervention(edits)
    assert document["layer"] == "conv1, conv2"
    assert document["intervention"] == (
        "2 channels of conv1: scale by 2; channel 1 of conv2: swap from original 2"
    )


def test_pictures_that_a_file_names_are_made_to_fit(
    shell: Shell, faults: Faults, tmp_path: Path
) -> None:
    for name in ("photo", "mask"):
        Image.new("RGB", (3 * SIDE, SIDE), (255, 255, 255)).save(tmp_path / f"{name}.png")
    path = tmp_path / "i.json"
    edit = {"layer": "conv1", "channels": {"indices": [1]}}
    edit |= {"swap": {"image": "photo.png"}, "mask": {"array": "mask.png"}}
    path.write_text(json.dumps({"edits": [edit]}))
    assert shell("hybridize", "--intervene", path)[0] == 0
    white = ImageDonor(np.full((SIDE, SIDE, 3), 255, np.uint8))
    mask = np.ones((1, 1), bool)
    expected = Intervention([Edit("conv1", [1], action=Swap(white), mask=mask)])
    assert intervention_asked(faults) == expected


def test_what_options_mean_is_saved_and_gives_the_same_hybrids_again(
    shell: Shell, tmp_path: Path
) -> None:
    modules, file = tmp_path / "modules.npz", tmp_path / "i.json"
    labels = np.arange(CHANNELS) % 3
    np.savez(modules, labels=labels)
    given = ("--modules", modules, "--module", 1, "--layer", "coarse")
    out, again = tmp_path / "out.npz", tmp_path / "again.npz"
    code, told, _ = shell("hybridize", *given, "--save-intervention", file, "--out", out)
    assert code == 0
    assert told.splitlines()[1] == f"module 1 of coarse: swap from original 2 -> {file}"
    assert Intervention.load(file) == Intervention([Edit("coarse", [1, 4])])
    document = shell.json("hybridize", "--intervene", file, "--out", again)
    assert document["saved_intervention"] is None
    np.testing.assert_array_equal(arrays(out)["hybrid"], arrays(again)["hybrid"])


def test_an_intervention_that_is_refused_is_not_saved(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "i.json"
    shell.refused("hybridize", "--channels", 1, "--layer", "x", "--save-intervention", file)
    assert not file.exists()


def test_influence_of_interventions_is_a_map_each_and_tells_them_again(
    shell: Shell, faults: Faults, tmp_path: Path
) -> None:
    first = Intervention([Edit("conv1", [0, 1], action=Scale(0.0))])
    second = Intervention([Edit("conv1", [2]), Edit("conv2", [5])])
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for each, file in zip((first, second), files, strict=True):
        each.save(file)
    out = tmp_path / "maps.npz"
    options = ("--intervene", files[0], "--intervene", files[1], "--pairs", 3)
    _, told, _ = shell("influence", *options, "--out", out)
    assert asked(faults).layer == ""
    head, columns, *rows = told.splitlines()
    assert head == f"2 maps of 6 x 6, several layers of toy, 3 pairs (encoded) -> {out}"
    assert columns.startswith("intervention")
    # The strongest first.
    assert "channel 2 of conv1: swap from original 2; channel 5 of conv2" in rows[0]
    assert "2 channels of conv1: scale by 0" in rows[1]
    written = arrays(out)
    assert written["maps"].shape == (2, SIDE, SIDE)
    assert [Intervention.from_json(str(each)) for each in written["interventions"]] == [
        first,
        second,
    ]
    document = shell.json("influence", *options)
    assert document["interventions"] == [str(first), str(second)]
    assert "conv1, conv2" in shell("jobs", "list")[1]


@pytest.mark.parametrize(
    ("verb", "pairs"),
    [
        (("hybridize", "--channels", 1), "pairs"),
        (("influence",), "pairs"),
        (("modules",), "pairs"),
        (("stability",), "pairs"),
        (("magnitude",), "pairs"),
        (("report", "--dry-run"), "pairs"),
    ],
)
def test_every_verb_that_draws_pairs_takes_shared_and_fixed_inputs(
    shell: Shell, faults: Faults, verb: tuple[object, ...], pairs: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "fix.npz", z=np.arange(CHANNELS))
    shell(*verb, "--share", "z, noise", "--fix", f"z={tmp_path / 'fix.npz'}")
    drawn = getattr(next(each for each in faults.asked if hasattr(each, pairs)), pairs)
    assert drawn.share == ["z", "noise"]
    values = np.frombuffer(drawn.fix.inputs["z"].tensor.data, "<f4")
    np.testing.assert_array_equal(values, np.arange(CHANNELS))


def test_generate_takes_fixed_inputs(shell: Shell, faults: Faults, tmp_path: Path) -> None:
    assert shell("generate", "--fix", "z=0.5", "--out", tmp_path / "samples.npz")[0] == 0
    tensor = asked(faults).samples.fix.inputs["z"].tensor
    assert (tensor.datatype, tensor.shape) == ("FP32", [1, CHANNELS])
    np.testing.assert_array_equal(np.frombuffer(tensor.data, "<f4"), 0.5)


def test_image_pairs_take_shared_and_fixed_inputs(
    shell: Shell, faults: Faults, tmp_path: Path
) -> None:
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "a.png")
    images = ("--image1", tmp_path / "a.png", "--image2", tmp_path / "a.png")
    given = ("hybridize", "--channels", 1, *images)
    assert shell(*given, "--share", "z", "--fix", "z=1")[0] == 0
    assert asked(faults).pairs.share == ["z"]
    code, line = shell.refused(*given, "--pairs", 2)
    assert (code, "leave out other originals" in line) == (2, True)


def test_latents_may_leave_out_inputs_which_the_server_knows(
    shell: Shell, faults: Faults, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", z=np.zeros((2, CHANNELS)), images=np.zeros((2, 3)))
    sides = ("--latents1", tmp_path / "a.npz", "--latents2", tmp_path / "a.npz")
    assert shell("hybridize", "--channels", 1, *sides)[0] == 0
    assert list(asked(faults).pairs.originals.latents.latents1.inputs) == ["z"]


GIVEN = ("--intervene", "i.json")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("hybridize", *GIVEN, "--layer", "conv1"), 2, "leave out --layer"),
        (("hybridize", *GIVEN, "--channels", "1"), 2, "leave out --channels"),
        (("hybridize", *GIVEN, "--modules", "m.npz"), 2, "leave out --modules"),
        (("hybridize", *GIVEN, "--module", "1"), 2, "leave out --module"),
        (("influence", *GIVEN, "--layer", "conv1"), 2, "leave out --layer"),
        (("hybridize", *GIVEN), 4, "layer 'fine' is not in model 'toy'; it has: conv1 (coarse)"),
        (("influence", *GIVEN), 4, "layer 'fine' is not in model 'toy'"),
        (("hybridize", "--intervene", "none.json"), 3, "there is no file none.json"),
        (("hybridize", "--intervene", "bad.json"), 4, "bad.json is not an intervention's JSON"),
        (("hybridize", "--channels", 1, "--save-intervention", "a.txt"), 4, "must end in .json"),
        (("hybridize", "--channels", 1, "--save-intervention", "no/a.json"), 4, "no folder no"),
        (("hybridize", "--channels", 1, "--share", "z,,y"), 4, "--share: '' is not a name"),
        (("hybridize", "--channels", 1, "--fix", "z"), 4, "--fix 'z' is not NAME=VALUE"),
        (("hybridize", "--channels", 1, "--fix", "z=half"), 4, "'half' is neither a number nor"),
        (("hybridize", "--channels", 1, "--fix", "z=1", "--fix", "z=2"), 4, "more than once"),
        (("hybridize", "--channels", 1, "--fix", "z=a.npy"), 3, "there is no file a.npy"),
        (("influence", "--fix", "label=3"), 4, "input 'label' is not in model 'toy'; it has: z"),
        (
            ("generate", "--fix", "z=nan", "--out", "s.npz"),
            4,
            "fix 'z': 1 of 1 values are NaN or infinite",
        ),
        (
            ("generate", "--latents", "a.npz", "--fix", "z=1", "--out", "s.npz"),
            2,
            "--latents already gives all the samples, with every input: leave out --fix",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line_with_its_exit_code(
    shell: Shell,
    arguments: tuple[object, ...],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    SEVERAL.save("i.json")
    Path("bad.json").write_text('{"edits": [')
    found, line = shell.refused(*arguments)
    assert message in line
    assert found == code


def test_stored_latents_are_sent_as_one_sample(
    shell: Shell, faults: Faults, tmp_path: Path
) -> None:
    donor = StoredLatents({"z": np.ones((1, CHANNELS))})
    file = saved(tmp_path / "i.json", Edit("conv1", [1], action=Swap(donor)))
    assert shell("hybridize", "--intervene", file)[0] == 0
    assert intervention_asked(faults).edits[0].action == Swap(donor)
