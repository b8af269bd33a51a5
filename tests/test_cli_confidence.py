"""How sure modules are, as the command line says it: of a file, where nothing is computed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from _cli_shell import Shell
from graftscope.client import ModulesResult
from graftscope.client.values import OLDER, told_pairs
from test_client_results import INFLUENCE, MODULES

FOUND = replace(
    MODULES,
    labels=np.array([0, 1, 1, -1]),
    weights=np.array([[0.8, 0.2], [0.3, 0.7], [0.1, 0.9], [0.0, 0.0]]),
    purity=np.array([0.8, 0.7, 0.9, np.nan]),
    seed_labels=np.array([[0, 1, 1, -1]]),
    probabilities=np.array([[0.96, 0.04], [0.375, 0.625], [0.0, 1.0], [np.nan, np.nan]]),
    source=INFLUENCE.source,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    FOUND.save(tmp_path / "modules.npz")
    return tmp_path / "modules.npz"


def test_a_file_of_modules_is_told_with_its_confidence(shell: Shell, path: Path) -> None:
    code, out, err = shell("modules", "--modules", path)
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "2 modules of layer conv1 of toy@digest by nmf",
        "module channels mean purity confidence which",
        "0 1 0.80 0.96 0",
        "1 2 0.80 0.81 1 2",
        "2 of 3 channels would be in the same module with other pairs, with probability 0.95 or "
        "more",
        "channel 1 is between modules 1 and 0 (0.62, 0.38)",
    ]
    assert err == "1 flat map, in no module: 3\n"


def test_json_has_every_probability_and_null_where_there_is_none(shell: Shell, path: Path) -> None:
    told = shell.json("modules", "--modules", path)
    assert told["probabilities"] == [[0.96, 0.04], [0.375, 0.625], [0.0, 1.0], [None, None]]
    assert told["confidence"] == [0.96, 0.625, 1.0, None]
    assert told["confidence_unknown"] == ""


def test_a_file_without_probabilities_says_why(shell: Shell, tmp_path: Path) -> None:
    unknown = replace(
        FOUND, probabilities=np.full((4, 2), np.nan), confidence_unknown=OLDER, method=None
    )
    unknown.save(tmp_path / "old.npz")
    code, out, err = shell("modules", "--modules", tmp_path / "old.npz")
    assert code == 0
    assert out.startswith("2 modules of layer conv1 of toy@digest\n")
    assert f"how sure the channels' modules are is not known: {OLDER}" in err
    assert "with other pairs" not in out


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("--k", 4), 2, "--k is of modules that are found: leave out --modules, or it"),
        (("--pairs", 4), 2, "--pairs is of modules that are found"),
        (("--layer", "conv1"), 2, "says its model and layer: leave out --model, --layer"),
        (("--dry-run",), 2, "leave out --maps, --out, --dry-run"),
    ],
)
def test_what_a_file_says_already_is_refused(
    shell: Shell, path: Path, asked: tuple[object, ...], code: int, said: str
) -> None:
    refused, line = shell.refused("modules", "--modules", path, *asked)
    assert (refused, said in line) == (code, True), line


def test_what_is_no_file_of_modules_is_refused(shell: Shell, tmp_path: Path) -> None:
    INFLUENCE.save(tmp_path / "maps.npz")
    code, line = shell.refused("modules", "--modules", tmp_path / "maps.npz")
    assert code == 4
    assert "holds an InfluenceResult, not a ModulesResult" in line
    assert shell.refused("modules", "--modules", tmp_path / "none.npz")[0] == 3


def test_a_saved_file_comes_back_with_its_probabilities(path: Path) -> None:
    assert ModulesResult.load(path) == FOUND


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([1], "1 pair"),
        ([1000, 1000], "1,000 pairs"),
        ([320, 128, 160], "128 to 320 pairs a channel"),
        ([1024, 2048], "1,024 to 2,048 pairs a channel"),
    ],
)
def test_pairs_are_told_as_a_range_where_they_differ(pairs: list[int], words: str) -> None:
    assert told_pairs(np.array(pairs)) == words


def test_a_result_whose_maps_stopped_one_by_one_says_the_range() -> None:
    raced = replace(INFLUENCE, subject="channels", pairs=320, pairs_of=np.array([128, 320]))
    assert repr(raced).endswith("maps (2, 3, 3), 128 to 320 pairs a channel>")
