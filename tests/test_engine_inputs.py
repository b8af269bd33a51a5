"""Inputs of every distribution, and pairs that have some of them in common."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from graftscope.bundle import BundleFolder
from graftscope.server.engine import (
    ConstrainedPairs,
    Device,
    Generator,
    GivenPairs,
    PriorPairs,
    SessionPool,
    check_latents,
)
from graftscope.server.errors import Corrupt, InvalidInput
from graftscope.v1 import bundle_pb2
from intervention_toys import FIXED_T, STORED, conditional_generator, write_conditional

PAIRS = range(200)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return conditional_generator(write_conditional(tmp_path_factory.mktemp("toys") / "conditional"))


def test_every_input_is_of_its_distribution(generator: Generator) -> None:
    first, second = PriorPairs(generator, seed=1).latents(PAIRS)
    assert np.abs(first["z"]).max() <= 0.7
    assert {*first["label"].tolist()} == {*range(5)}
    assert first["label"].dtype == np.int64
    assert first["noise"].shape == (len(PAIRS), 1, 4, 4)
    for latents in (first, second):
        np.testing.assert_array_equal(latents["t"], np.repeat(FIXED_T, len(PAIRS), axis=0))
    assert all(np.any(first[name] != second[name]) for name in ("z", "label", "noise", "w"))


def test_inputs_of_one_file_share_the_row_and_every_row_is_drawn(generator: Generator) -> None:
    first, _ = PriorPairs(generator, seed=1).latents(PAIRS)
    rows = [
        [np.flatnonzero((STORED[name] == value).all(axis=1)).item() for value in first[name]]
        for name in "wv"
    ]
    assert rows[0] == rows[1]
    assert {*rows[0]} == {*range(6)}


def test_stratified_pairs_cover_every_input_of_either_original(generator: Generator) -> None:
    for latents in PriorPairs(generator, 1, stratified=True).latents(range(32, 64)):
        parts = np.floor(norm.cdf(latents["noise"].reshape(32, -1).astype(float)) * 32).astype(int)
        assert all(sorted(each.tolist()) == [*range(32)] for each in parts.T)
        # Parts that two labels or rows share may go to either, one at each end.
        counts = np.bincount(latents["label"].ravel(), minlength=5)
        assert np.abs(counts - 32 / 5).max() < 2
        rows = [np.flatnonzero((STORED["w"] == x).all(axis=1)).item() for x in latents["w"]]
        assert np.abs(np.bincount(rows, minlength=6) - 32 / 6).max() < 2
        assert np.abs(np.median(latents["z"].astype(float), axis=0)).max() < 0.05
        np.testing.assert_array_equal(latents["t"], np.repeat(FIXED_T, 32, axis=0))


def test_stratified_pairs_are_the_same_in_any_part_of_a_group(generator: Generator) -> None:
    source = ConstrainedPairs(
        PriorPairs(generator, 1, stratified=True), generator, 1, frozenset({"label"})
    )
    whole, parts = source.latents(range(64)), [source.latents(range(i, i + 4)) for i in (36, 8)]
    for start, part in zip((36, 8), parts, strict=True):
        for which in (0, 1):
            for name, values in part[which].items():
                np.testing.assert_array_equal(values, whole[which][name][start : start + 4])
    np.testing.assert_array_equal(whole[0]["label"], whole[1]["label"])


def test_a_shared_input_is_original_1s_in_both(generator: Generator) -> None:
    prior = PriorPairs(generator, seed=1)
    shared = ConstrainedPairs(prior, generator, 1, frozenset({"label", "noise"}))
    first, second = shared.latents(PAIRS)
    plain1, plain2 = prior.latents(PAIRS)
    for name in first:
        np.testing.assert_array_equal(first[name], plain1[name])
        taken = plain1 if name in ("label", "noise") else plain2
        np.testing.assert_array_equal(second[name], taken[name])


def test_a_fixed_input_is_the_same_whatever_the_source_says(generator: Generator) -> None:
    given = PriorPairs(generator, seed=1).latents(range(4))
    fix = {"label": np.array([3]), "w": STORED["w"][:1]}
    for source in (PriorPairs(generator, 1), GivenPairs(*given)):
        pairs = ConstrainedPairs(source, generator, 1, fix=fix)
        for latents in pairs.latents(range(4)):
            assert latents["label"].tolist() == [3] * 4
            np.testing.assert_array_equal(latents["w"], np.repeat(fix["w"], 4, axis=0))
        assert pairs.kind == source.kind


def test_noise_and_what_is_fixed_may_be_left_out_of_given_latents(generator: Generator) -> None:
    given = PriorPairs(generator, seed=1).latents(range(6))
    less = [{name: x[name] for name in ("z", "label", "w", "v")} for x in given]
    assert check_latents(generator, less[0], "latents1") == 6
    pairs = ConstrainedPairs(GivenPairs(less[0], less[1]), generator, seed=0)
    drawn = PriorPairs(generator, seed=0).latents(range(2, 5))
    for which, latents in enumerate(pairs.latents(range(2, 5))):
        np.testing.assert_array_equal(latents["noise"], drawn[which]["noise"])
        np.testing.assert_array_equal(latents["z"], given[which]["z"][2:5])
        assert list(latents) == ["z", "label", "noise", "t", "w", "v"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("z", r"latents1 lacks 'z' \(normal within \+-0\.7\)"),
        ("label", r"latents1 lacks 'label' \(classes 0 to 4\)"),
        ("w", r"latents1 lacks 'w' \(one of 6 stored values\)"),
    ],
)
def test_any_other_input_that_is_missing_is_named(
    generator: Generator, name: str, told: str
) -> None:
    latents = dict(PriorPairs(generator, seed=1).latents(range(2))[0])
    del latents[name]
    with pytest.raises(InvalidInput, match=told):
        check_latents(generator, latents, "latents1")
    assert check_latents(generator, latents, "latents1", {name}) == 2


def test_a_file_that_holds_something_else_is_named(generator: Generator) -> None:
    manifest = bundle_pb2.Bundle()
    manifest.CopyFrom(generator.manifest)
    manifest.inputs[4].stored.count = 7
    other = Generator(BundleFolder(generator.folder.path, manifest), SessionPool(Device.CPU, 2))
    with pytest.raises(Corrupt, match=r"'stored.safetensors' .* float32 of shape \(6, 4\)"):
        PriorPairs(other, seed=0).latents(range(2))


def test_stored_values_are_read_once(generator: Generator, tmp_path: Path) -> None:
    folder = write_conditional(tmp_path / "conditional")
    here = conditional_generator(folder)
    before = PriorPairs(here, seed=0).latents(range(8))[0]
    (folder / "stored.safetensors").unlink()
    after = PriorPairs(here, seed=0).latents(range(8))[0]
    np.testing.assert_array_equal(before["w"], after["w"])
