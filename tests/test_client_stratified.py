"""Stratified pairs from the client and the command line: asked for, answered, and said."""

import json
from pathlib import Path

import numpy as np
import pytest

from _cli_shell import Shell
from _fake_server import Faults
from graftscope.client import Client, Images, InfluenceTask, MagnitudeTask, Prior
from graftscope.client.cli import run
from graftscope.client.errors import InputError
from graftscope.client.values import STRATIFIED_PAIRS

MODEL = "toy-vae"


@pytest.mark.parametrize("originals", [Prior(), None], ids=["prior", "encoded"])
def test_a_result_says_that_its_pairs_were_stratified(
    toy_client: Client, originals: Prior | None
) -> None:
    found = toy_client.influence(MODEL, "fine", pairs=64, originals=originals, stratified=True)
    plain = toy_client.influence(MODEL, "fine", pairs=64, originals=originals)
    assert (found.stratified, plain.stratified) == (True, False)
    assert found.pairs == plain.pairs == 64
    assert np.isfinite(found.stderr).all()
    assert np.any(found.maps != plain.maps)
    # Other pairs of the same distribution.
    np.testing.assert_allclose(found.individual, plain.individual, rtol=0.3, atol=1e-3)


def test_the_error_is_that_of_means_over_32_pairs(toy_client: Client) -> None:
    whole = toy_client.influence(MODEL, "fine", pairs=96, stratified=True)
    parts = [
        toy_client.influence(MODEL, "fine", pairs=32, first=first, stratified=True)
        for first in (0, 32, 64)
    ]
    means = np.array([part.individual for part in parts])
    np.testing.assert_allclose(whole.individual, means.mean(axis=0), rtol=1e-6)
    expected = means.std(axis=0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(whole.individual_stderr, expected, rtol=1e-3, atol=1e-9)
    assert all(np.isnan(part.individual_stderr).all() for part in parts)


def test_layers_have_the_same_stratified_pairs(toy_client: Client) -> None:
    found = toy_client.influence_layers(MODEL, ["fine", "fc"], pairs=64, stratified=True)
    alone = toy_client.influence(MODEL, "fc", pairs=64, stratified=True)
    assert all(each.stratified for each in found.layers.values())
    np.testing.assert_allclose(found["fc"].maps, alone.maps, rtol=0, atol=1e-5)


def test_modules_are_measured_on_stratified_pairs(toy_client: Client) -> None:
    found = toy_client.magnitude(MODEL, ["fine"], [2], pairs=32, stratified=True)
    plain = toy_client.magnitude(MODEL, ["fine"], [2], pairs=32)
    assert found.operation != plain.operation
    job = toy_client.start(MagnitudeTask(MODEL, ("fine",), (2,), pairs=32, stratified=True))
    assert job.name == found.operation


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pairs": 1000}, r"`pairs` is 1000 \(nearest: 992 or 1024\)"),
        ({"pairs": 64, "first": 5}, r"`first` is 5 \(nearest: 0 or 32\)"),
    ],
)
def test_parts_of_a_group_are_refused_with_what_is_allowed(
    toy_client: Client, changes: dict[str, int], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        toy_client.influence(MODEL, "fine", stratified=True, **changes)  # type: ignore[arg-type]


def test_real_images_are_not_spread(toy_client: Client) -> None:
    images = Images(np.zeros((4, 16, 16, 3), np.uint8))
    with pytest.raises(InputError, match=r"originals are images.*prior and encoded are allowed"):
        toy_client.influence(MODEL, "fine", pairs=32, originals=images, stratified=True)


def test_an_estimate_counts_all_pairs(toy_client: Client) -> None:
    task = InfluenceTask(MODEL, "fine", channels=(0, 1), pairs=640, stratified=True)
    assert toy_client.estimate(task).hybrids == 2 * 640


def test_the_verb_says_that_pairs_were_stratified(shell: Shell) -> None:
    code, told, _ = shell("influence", "--pairs", 32, "--stratified")
    assert code == 0
    assert "32 pairs (encoded, stratified)" in told
    assert shell.json("influence", "--pairs", 32, "--stratified")["stratified"] is True
    assert shell.json("influence", "--pairs", 32)["stratified"] is False


@pytest.mark.parametrize(
    "verb",
    [
        ("influence",),
        ("stability",),
        ("find", "--region", "0,0,2,2"),
        ("magnitude",),
    ],
)
def test_every_verb_that_computes_maps_takes_whole_groups(
    shell: Shell, server: tuple[str, Faults], verb: tuple[str, ...]
) -> None:
    for options, pairs in (((), 1000), (("--stratified",), STRATIFIED_PAIRS)):
        server[1].asked.clear()
        shell.json(*verb, *options, "--dry-run")
        asked = server[1].asked[0].pairs  # type: ignore[attr-defined]
        assert (asked.count, asked.stratified) == (pairs, bool(options))


def test_maps_that_are_there_are_not_spread(shell: Shell, tmp_path: Path) -> None:
    maps = tmp_path / "maps.npz"
    shell.json("influence", "--pairs", 5, "--out", maps)
    for verb in (("modules",), ("stability",), ("find", "--region", "0,0,2,2")):
        code, err = shell.refused(*verb, "--maps", maps, "--stratified")
        assert code == 2
        assert "--stratified is of maps that are computed" in err


def test_one_group_has_no_error_and_find_compares_means(
    toy_vae_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ("--bundle", str(toy_vae_bundle), "--state", str(tmp_path / "state"))
    asked = ["find", "--region", "0,0,16,8", "--layer", "fine", "--pairs", "32", "--stratified"]
    assert run([*asked, "--at-least", "0.01", *here, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["channels"]
