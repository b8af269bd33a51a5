"""Which pairs verbs ask for where nobody says, and that those who say have what they say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from _cli_shell import Shell
from _fake_model import CHANNELS, SIDE
from _fake_server import Faults
from graftscope.client import ConfidentLabels, InfluenceResult, Stopping
from graftscope.client.arrays import write_npz
from graftscope.client.cli import run
from graftscope.client.cli._report_given import GivenOptions, read_before
from graftscope.client.cli._usual_pairs import MOST, SURE
from graftscope.client.errors import InputError
from graftscope.v1 import analysis_service_pb2

INFLUENCE = analysis_service_pb2.InfluenceRequest
VERBS = [("modules",), ("report", "--layer", "coarse,intermediate")]


def asked(server: tuple[str, Faults]) -> list[Any]:
    return [each for each in server[1].asked if isinstance(each, INFLUENCE)]


def plain(request: Any) -> tuple[int, bool, bool]:
    """How many pairs, whether they are stratified, and whether something may stop them."""
    return request.pairs.count, request.pairs.stratified, request.HasField("until")


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_said_is_stratified_pairs_until_labels_are_sure(
    shell: Shell, server: tuple[str, Faults], verb: tuple[str, ...]
) -> None:
    shell.json(*verb, "--dry-run")
    for request in asked(server):
        assert plain(request) == (MOST, True, True)
        labels = request.until.confident_labels
        assert (labels.probability, labels.k) == (SURE, 3)
        assert not request.until.together


@pytest.mark.parametrize("verb", VERBS)
def test_the_rule_is_about_the_modules_that_are_to_be_found(
    shell: Shell, server: tuple[str, Faults], verb: tuple[str, ...]
) -> None:
    said = ("--k", 2, "--method", "kmeans", "--clustering-seed", "7,8", "--pairs-seed", 4)
    told = shell.json(*verb, *said, "--dry-run")
    assert told["until"] == f"labels={SURE},k=2,method=kmeans,seed=7"
    assert {request.pairs.seed for request in asked(server)} == {4}


@pytest.mark.parametrize("verb", VERBS)
def test_a_rule_that_is_said_is_about_them_too(shell: Shell, verb: tuple[str, ...]) -> None:
    told = shell.json(*verb, "--k", 2, "--until", "labels=0.9,together", "--dry-run")
    assert told["until"] == "labels=0.9,k=2,method=nmf,together"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("rule", "whole", "other"),
    [
        ("labels=0.9,method=kmeans", "labels=0.9,k=2,method=kmeans,seed=7", ""),
        ("stable,seed=7", "stable,k=2,method=kmeans,seed=7", ""),
        ("labels=0.9,k=4", "labels=0.9,k=4,method=kmeans,seed=7", "(k=4) {} (k=2)"),
        (
            "labels=0.9,method=nmf,seed=0,together",
            "labels=0.9,k=2,method=nmf,together",
            "(method=nmf, seed=0) {} (method=kmeans, seed=7)",
        ),
    ],
)
def test_what_a_rule_does_not_name_is_as_they_are_found(
    shell: Shell, verb: tuple[str, ...], rule: str, whole: str, other: str
) -> None:
    of = ("--k", 2, "--method", "kmeans", "--clustering-seed", 7)
    code, out, err = shell(*verb, *of, "--until", rule, "--dry-run", "--json")
    assert (code, json.loads(out)["until"]) == (0, whole)
    noted = "--until looks at other modules " + other.format("than are found")
    assert (noted in err) == bool(other)
    assert ("--until" in err) == bool(other)


def test_programs_are_told_the_pairs_of_each_channel(shell: Shell, tmp_path: Path) -> None:
    assert shell.json("modules", "--pairs", 5)["pairs_of"] == [5] * CHANNELS
    maps, raced = tmp_path / "maps.npz", list(range(2, 2 + CHANNELS))
    assert shell.json("influence", "--pairs", 5, "--out", maps)["pairs_of"] == [5] * CHANNELS
    assert shell.json("modules", "--maps", maps)["pairs_of"] is None
    replace(InfluenceResult.load(maps), pairs_of=np.array(raced)).save(maps)
    assert shell.json("modules", "--maps", maps)["pairs_of"] == raced


@pytest.mark.parametrize("verb", VERBS)
def test_one_module_is_refused_where_its_labels_are_to_be_sure(
    shell: Shell, verb: tuple[str, ...]
) -> None:
    code, told = shell.refused(*verb, "--k", 1, "--until", "labels=0.95", "--dry-run")
    assert code == 4
    assert "with one module there is nothing to be sure of" in told
    assert "leave out the rule about labels (--until labels=... or stable)" in told


def test_modules_are_looked_at_as_they_are_found(shell: Shell) -> None:
    told = shell.json("modules", "--window", 5, "--percentile", 50, "--dry-run")
    assert told["until"].endswith(",window=5,percentile=50.0")
    said = ("--window", 5, "--percentile", 50, "--until", "stable,window=7")
    assert shell.json("modules", *said, "--dry-run")["until"].endswith(",window=7,percentile=50.0")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("--pairs", 1000), (1000, False, False)),
        (("--stratified",), (1024, True, False)),
        (("--until", "se=0.02"), (1000, False, True)),
        (("--pairs", 640, "--stratified", "--until", "labels=0.9"), (640, True, True)),
    ],
)
def test_whoever_says_one_of_these_has_the_others_as_they_were(
    shell: Shell,
    server: tuple[str, Faults],
    verb: tuple[str, ...],
    said: tuple[object, ...],
    expected: tuple[int, bool, bool],
) -> None:
    shell.json(*verb, *said, "--dry-run")
    assert {plain(request) for request in asked(server)} == {expected}


@pytest.mark.parametrize("verb", VERBS)
def test_one_module_has_no_label_to_be_sure_of(
    shell: Shell, server: tuple[str, Faults], verb: tuple[str, ...]
) -> None:
    shell.json(*verb, "--k", 1, "--dry-run")
    assert {plain(request) for request in asked(server)} == {(1000, False, False)}


def test_methods_by_products_have_no_probability(shell: Shell, server: tuple[str, Faults]) -> None:
    shell.json("modules", "--method", "pca", "--dry-run")
    assert [plain(request) for request in asked(server)] == [(1000, False, False)]


def test_latents_from_the_prior_are_drawn_too(shell: Shell, server: tuple[str, Faults]) -> None:
    for name in ("prior", "encoded"):
        shell.json("modules", "--originals", name, "--dry-run")
    assert [plain(request) for request in asked(server)] == [(MOST, True, True)] * 2


@pytest.mark.parametrize("verb", VERBS)
def test_photographs_cannot_be_spread(
    shell: Shell,
    server: tuple[str, Faults],
    verb: tuple[str, ...],
    tmp_path: Path,
) -> None:
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "photograph.png")
    shell.json(*verb, "--originals", tmp_path, "--dry-run")
    assert {plain(request) for request in asked(server)} == {(1000, False, False)}


def test_given_pairs_are_all_used(shell: Shell, server: tuple[str, Faults], tmp_path: Path) -> None:
    latents = tmp_path / "latents.npz"
    write_npz(latents, {"z": np.zeros((5, CHANNELS), np.float32)})
    given = ("--latents1", latents, "--latents2", latents)
    shell.json("report", "--layer", "coarse", *given, "--dry-run")
    assert [plain(request) for request in asked(server)] == [(5, False, False)]


@pytest.mark.parametrize(
    "verb", [("influence",), ("stability",), ("find", "--region", "0,0,2,2"), ("magnitude",)]
)
def test_verbs_that_find_no_modules_ask_as_programs_do(
    shell: Shell, server: tuple[str, Faults], verb: tuple[str, ...]
) -> None:
    shell.json(*verb, "--dry-run")
    pairs = server[1].asked[0].pairs  # type: ignore[attr-defined]
    assert (pairs.count, pairs.stratified) == (1000, False)


def test_layers_that_stopped_after_different_pairs_stand_in_one_report(
    shell: Shell, tmp_path: Path
) -> None:
    files = [tmp_path / "coarse.npz", tmp_path / "intermediate.npz"]
    for path, pairs in zip(files, (4, 6), strict=True):
        shell("influence", "--layer", path.stem, "--pairs", pairs, "--out", path)
    given = GivenOptions(maps=[str(path) for path in files])
    with pytest.raises(InputError, match=r"4 pairs of seed .* and .* of .* 6 pairs"):
        read_before(given)
    stopping = Stopping(ConfidentLabels(), True, MOST, 0.01, float("nan"), 0.96, CHANNELS)
    for path in files:
        replace(InfluenceResult.load(path), stopping=stopping).save(path)
    before = read_before(given)
    assert before is not None
    assert [maps.pairs for maps in before.maps.values()] == [4, 6]


def test_the_demo_asks_for_the_same_of_two_layers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run(["demo", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["until"] == str(ConfidentLabels(SURE))
    assert told["estimate"]["hybrids"] == 2 * 64 * MOST
