"""Facts about the verbs that group channels: stability, and what modules takes of methods."""

from pathlib import Path

import numpy as np
import pytest

from _cli_shell import Shell, arrays
from _fake_model import CHANNELS
from graftscope.client.arrays import read_source


@pytest.fixture
def maps(shell: Shell, tmp_path: Path) -> Path:
    path = tmp_path / "maps.npz"
    assert shell("influence", "--pairs", 5, "--out", path)[0] == 0
    return path


@pytest.fixture
def maps_with_products(shell: Shell, tmp_path: Path) -> Path:
    path = tmp_path / "products.npz"
    assert shell("influence", "--pairs", 5, "--products", "--out", path)[0] == 0
    return path


def test_stability_prints_a_row_a_k_and_a_suggestion_a_method(shell: Shell, maps: Path) -> None:
    code, out, err = shell("stability", "--maps", maps, "--k", "2-4", "--repeats", 4)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("6 channels of layer conv2 of toy@dddddddddddd, 4 repeats")
    assert lines[1].split()[:3] == ["K", "nmf", "consistency"]
    assert lines[3].split()[:4] == ["3", "0.90", "±", "0.06"]
    assert lines[5:] == [
        "nmf: K = 3: it exceeds chance most",
        "kmeans: K = 3: it exceeds chance most",
    ]
    assert err == "kmeans, K = 4: 1 of 4 repeats did not converge\n"


def test_stability_writes_exactly_the_arrays_of_the_format(
    shell: Shell, maps: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stability.npz"
    document = shell.json("stability", "--maps", maps, "--k", "2,3,5", "--out", out)
    written = arrays(out)
    assert {name: array.shape for name, array in written.items()} == {
        "k": (3,),
        "method": (2,),
        "consistency": (2, 3, 20),
        "cosine": (2, 3, 20),
        "chance": (2, 3),
        "suggested": (2,),
    }
    assert written["k"].tolist() == document["k"] == [2, 3, 5]
    assert written["method"].tolist() == document["methods"] == ["nmf", "kmeans"]
    assert document["consistency"][1][2][19] is None
    assert document["consistency_mean"][0] == pytest.approx([0.6, 0.9, 0.6])
    assert [each["k"] for each in document["suggested"]] == written["suggested"].tolist() == [3, 3]
    assert read_source(out) == read_source(maps)


def test_stability_computes_maps_that_are_not_given(shell: Shell, tmp_path: Path) -> None:
    document = shell.json("stability", "--layer", "coarse", "--pairs", 5, "--pairs-seed", 3)
    assert (document["source"]["layer"], document["channels"]) == ("conv1", CHANNELS)
    kinds = [job["kind"] for job in shell.json("jobs", "list")["jobs"]]
    assert kinds == ["influence", "stability"]


def test_maps_are_computed_with_products_where_a_method_needs_them(shell: Shell) -> None:
    document = shell.json("stability", "--method", "nmf,pca,spectral", "--pairs", 5)
    assert document["methods"] == ["nmf", "pca", "spectral"]
    assert shell.json("modules", "--method", "spectral", "--pairs", 5)["method"] == "spectral"


def test_products_are_written_where_they_are_asked_for(
    shell: Shell, maps: Path, maps_with_products: Path
) -> None:
    assert "products" not in arrays(maps)
    assert arrays(maps_with_products)["products"].shape == (CHANNELS, CHANNELS)
    assert shell.json("influence", "--pairs", 5, "--products")["products"] is True


def test_given_maps_bring_their_products(shell: Shell, maps_with_products: Path) -> None:
    given = ("--maps", maps_with_products)
    assert shell.json("modules", *given, "--method", "pca")["method"] == "pca"
    assert shell.json("stability", *given, "--method", "pca")["methods"] == ["pca"]


@pytest.mark.parametrize("verb", ["modules", "stability"])
def test_maps_without_products_are_refused_with_what_to_do(
    shell: Shell, maps: Path, verb: str
) -> None:
    code, line = shell.refused(verb, "--maps", maps, "--method", "spectral")
    assert code == 4
    assert "maps.npz has no array 'products', which --method spectral needs" in line
    assert "`graftscope influence --products`, or leave out --maps" in line


def test_impure_channels_are_named_and_left_out(shell: Shell, maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "modules.npz"
    code, _, err = shell("modules", "--maps", maps, "--min-purity", 0.9, "--out", out)
    assert (code, err) == (0, "1 impure channel, in no module: 5\n")
    assert arrays(out)["labels"].tolist() == [0, 0, 1, 1, 2, -1]
    assert shell.json("modules", "--maps", maps, "--min-purity", 0.9)["impure"] == 1


def test_a_dry_run_of_stability_tells_what_its_maps_would_cost(shell: Shell) -> None:
    code, out, err = shell("stability", "--dry-run")
    assert (code, out, err) == (0, "", "600 hybrids, about 12 s, 4.6 kB of results\n")
    assert shell.json("jobs", "list")["jobs"] == []


def test_a_stability_job_is_watched_and_saved_like_others(
    shell: Shell, maps: Path, tmp_path: Path
) -> None:
    name = shell.json("stability", "--maps", maps)["operation"].removeprefix("operations/")
    assert "stability" in shell("jobs", "list")[1]
    assert shell("jobs", "show", name)[0] == 0
    out = tmp_path / "again.npz"
    assert shell.json("jobs", "watch", name, "--out", out)["methods"] == ["nmf", "kmeans"]
    assert "chance" in arrays(out)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--k", "2-x"), 4, "--k '2-x' is not a range like 2-10, nor integers like 2,3,4"),
        (("--k", "5-2"), 4, "the range 5-2 ends before it begins"),
        (("--k", "2-99999"), 4, "--k 99999 is not allowed"),
        (("--k", "1-3"), 4, "k 1 is not allowed: it must be from 2"),
        (("--method", "nmf,ward"), 4, "--method 'ward' is unknown"),
        (("--repeats", 0), 4, "repeats 0 is not allowed"),
        (("--window", 2), 4, "window 2 is not allowed: it must be odd"),
        (("--percentile", 100), 4, "percentile 100 is not allowed"),
        (("--dry-run",), 2, "leave out --maps"),
        (("--layer", "coarse"), 2, "leave out --model, --layer"),
    ],
)
def test_what_stability_cannot_do_is_one_line(
    shell: Shell, maps: Path, arguments: tuple[object, ...], code: int, message: str
) -> None:
    found, line = shell.refused("stability", "--maps", maps, *arguments)
    assert (found, message in line) == (code, True), line


def test_help_says_what_the_numbers_mean(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    told = " ".join(shell("stability", "--help")[1].split())
    assert "chance is the consistency of permuted labels" in told
    assert "cosine says how similar the runs' templates are" in told


def test_flat_maps_are_told_apart_from_impure_ones(
    shell: Shell, maps: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given.npz"
    flat = arrays(maps)["maps"] * np.array([0.0, 1, 1, 1, 1, 1])[:, None, None]
    np.savez(given, maps=flat)
    _, _, err = shell("modules", "--maps", given, "--min-purity", 0.9)
    assert err.splitlines() == [
        "1 flat map, in no module: 0",
        "1 impure channel, in no module: 5",
        "how sure the channels' modules are is not known: the maps came by themselves",
    ]
