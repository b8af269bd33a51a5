"""Facts about a conditional generator on the command line: labels shared, fixed, given, missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _cli_shell import Shell, arrays
from graftscope.client import Edit, Intervention, Rectangle, Scale
from graftscope.client.cli import run
from intervention_toys import write_conditional
from server_toys import served

BESIDE_LABEL = "z,noise,w,v"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("conditional") / "bundle"
    with served([write_conditional(folder)], tmp_path_factory.mktemp("state")) as stubs:
        yield stubs.address


@pytest.fixture
def hybrids(shell: Shell, tmp_path: Path) -> Any:
    def make(*options: object) -> dict[str, Any]:
        out = tmp_path / "out.npz"
        given = ("hybridize", "--layer", "tokens", "--channels", "0,1", "--pairs", 8)
        code, _, err = shell(*given, *options, "--out", out)
        assert code == 0, err
        return arrays(out)

    return make


def test_originals_that_share_all_but_the_label_differ_where_their_classes_do(hybrids: Any) -> None:
    same = hybrids("--share", f"label,{BESIDE_LABEL}")
    np.testing.assert_array_equal(same["original1"], same["original2"])
    np.testing.assert_array_equal(same["original1"], same["hybrid"])
    crossed = hybrids("--share", BESIDE_LABEL)
    differ = np.abs(crossed["original1"] - crossed["original2"]).max(axis=(1, 2, 3)) > 0
    assert 0 < differ.sum() <= 8
    fixed = hybrids("--share", BESIDE_LABEL, "--fix", "label=3")
    np.testing.assert_array_equal(fixed["original1"], fixed["original2"])


def test_a_fixed_label_is_that_of_every_sample(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "samples.npz"
    assert shell("generate", "--count", 6, "--fix", "label=3", "--out", out)[0] == 0
    found = arrays(out)
    assert found["label"].tolist() == [3] * 6
    assert found["label"].dtype == np.int64


def test_a_conditional_model_asked_without_its_label_says_so_in_one_line(
    shell: Shell, tmp_path: Path
) -> None:
    samples, path = tmp_path / "samples.npz", tmp_path / "latents.npz"
    shell("generate", "--count", 8, "--out", samples)
    held = arrays(samples)
    np.savez(path, **{name: held[name] for name in ("z", "w", "v")})
    sides = ("--latents1", path, "--latents2", path)
    code, line = shell.refused("hybridize", "--layer", "tokens", "--channels", 0, *sides)
    assert code == 4
    assert "latents1 lacks 'label' (classes 0 to 4)" in line
    given = ("hybridize", "--layer", "tokens", "--channels", 0, *sides, "--fix", "label=3")
    assert shell.json(*given)["pairs"] == 8


def test_what_a_server_refuses_of_pairs_is_called_by_its_option(
    shell: Shell, tmp_path: Path
) -> None:
    samples, path = tmp_path / "samples.npz", tmp_path / "latents.npz"
    shell("generate", "--count", 8, "--out", samples)
    held = arrays(samples)
    np.savez(path, **{name: held[name] for name in ("z", "w", "v", "label")})
    where = ("--layer", "tokens")
    _, line = shell.refused("influence", *where, "--pairs", 33, "--stratified")
    assert "--pairs is 33 (nearest: 32 or 64); stratified" in line
    _, line = shell.refused("influence", *where, "--pairs", 2, "--share", "q")
    assert "--share holds 'q'" in line
    sides = ("--latents1", path, "--latents2", path)
    edit = ("hybridize", *where, "--channels", 0)
    _, line = shell.refused(*edit, *sides, "--fix", "label=3")
    assert "input 'label' is in --fix and given by latents1" in line


def test_a_class_that_there_is_not_is_refused(shell: Shell, tmp_path: Path) -> None:
    generate = ("generate", "--out", tmp_path / "samples.npz")
    for verb in (generate, ("influence", "--layer", "tokens", "--pairs", 2)):
        code, line = shell.refused(*verb, "--fix", "label=7")
        assert (code, "0 to 4 are allowed" in line) == (4, True)
    code, line = shell.refused(*generate, "--fix", "label=0.5")
    assert (code, "whole numbers of type INT64, and 0.5 is none" in line) == (4, True)


def test_layers_of_every_kind_are_edited(shell: Shell, tmp_path: Path) -> None:
    manifest = shell.json("models")["models"][0]
    layers = {each["name"]: each for each in manifest["layers"]}
    assert {each["kind"].rpartition("_")[2] for each in layers.values()} == {
        "MAP",
        "VECTOR",
        "TOKENS",
    }
    for name in layers:
        Intervention([Edit(name, [0], action=Scale(-2.0))]).save(tmp_path / "i.json")
        assert shell.json("hybridize", "--intervene", tmp_path / "i.json")["change_share"] > 0, name


def test_tokens_have_places_and_vectors_have_none(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "i.json"
    Intervention([Edit("tokens", [0, 1], mask=Rectangle(0, 0, 2, 1))]).save(path)
    assert shell("hybridize", "--intervene", path)[0] == 0
    Intervention([Edit("z", [0, 1], mask=Rectangle(0, 0, 1, 1))]).save(path)
    code, line = shell.refused("hybridize", "--intervene", path)
    assert (code, "'z'" in line) == (4, True)


def test_maps_of_interventions_are_not_grouped(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, maps = tmp_path / "i.json", tmp_path / "maps.npz"
    Intervention([Edit("tokens", [0])]).save(path)
    code, told, _ = shell("influence", "--intervene", path, "--pairs", 3, "--out", maps)
    assert (code, told.splitlines()[0].startswith("1 map of 4 x 4, tokens of")) == (0, True)
    assert run(["modules", "--maps", str(maps), "--k", "1"]) == 4
    assert "holds maps of interventions" in capsys.readouterr().err
