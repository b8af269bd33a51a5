"""Facts about the verb magnitude."""

from pathlib import Path

import numpy as np
import pytest

from _cli_shell import Shell, arrays
from graftscope.client.arrays import read_source


def test_magnitude_prints_a_row_a_layer_and_k_then_the_lines(shell: Shell) -> None:
    code, out, err = shell("magnitude", "--layer", "coarse,conv2", "--k", "1,4", "--pairs", 7)
    assert code == 0
    assert err.startswith("600 hybrids, about 12 s")
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith(
        "10 modules by nmf, layers conv1, conv2 of toy, 7 pairs (encoded) to find and as many to"
        " measure them"
    )
    assert lines[2] == ["conv1", "1", "1", "3.000", "-"]
    # Four modules of 2, 2, 1 and 1 channels, each channel 0.01 of a range of 2.
    assert lines[3] == ["conv1", "4", "4", "0.750", "0.289"]
    assert lines[5] == ["conv2", "4", "4", "1.500", "0.577"]
    assert " ".join(lines[7]) == "conv1 channels 0.500 ± 0.050 for a channel 1.00"
    assert " ".join(lines[8]) == "conv2 channels - for a channel -"
    assert " ".join(lines[9]) == "all layers share 4.500 ± 0.100 for a whole layer 0.50"


def test_magnitude_writes_exactly_the_arrays_of_the_format(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "magnitude.npz"
    document = shell.json("magnitude", "--k", "2-3", "--out", out)
    written = arrays(out)
    columns = ("layer", "k", "module", "channels", "share", "individual", "individual_stderr")
    numbers = ("slope", "intercept", "r2", "slope_stderr", "residual", "rows")
    lines = ("regression", *numbers, *(f"{name}_channels" for name in numbers))
    assert {name: array.shape for name, array in written.items()} == {
        **dict.fromkeys(columns, (10,)),
        **dict.fromkeys(lines, (3,)),
        "range_width": (),
    }
    assert written["layer"].tolist() == document["layer"] == ["conv1"] * 5 + ["conv2"] * 5
    assert written["regression"].tolist() == ["conv1", "conv2", "pooled"]
    np.testing.assert_allclose(written["individual"], document["individual"])
    assert [each["layer"] for each in document["by_share"]] == ["conv1", "conv2", None]
    assert document["by_share"][1]["slope"] is None
    source = read_source(out)
    assert source is not None
    assert source.layer == "conv1, conv2"


def test_a_dry_run_of_magnitude_tells_the_cost_and_starts_nothing(shell: Shell) -> None:
    document = shell.json("magnitude", "--dry-run", "--pairs", 50)
    assert document == {"estimate": {"duration_s": 12.5, "hybrids": 600, "result_bytes": 4608}}
    assert shell.json("jobs", "list")["jobs"] == []


def test_options_reach_the_server(shell: Shell) -> None:
    document = shell.json(
        *("magnitude", "--layer", "conv1", "--method", "kmeans", "--originals", "prior"),
        *("--pairs", 9, "--pairs-seed", 2, "--seed", 1, "--window", 5, "--percentile", 60),
    )
    assert (document["layers"], document["method"]) == (["conv1"], "kmeans")
    assert (document["originals"], document["pairs"]) == ("prior", 9)


def test_a_magnitude_job_is_listed_with_its_layers_and_watched(
    shell: Shell, tmp_path: Path
) -> None:
    shell("magnitude", "--layer", "conv1,conv2")
    assert "magnitude  toy    conv1, conv2" in shell("jobs", "list")[1]
    assert "toy@dddddddddddd, conv1, conv2" in shell("jobs", "show", "1")[1]
    out = tmp_path / "again.npz"
    assert shell.json("jobs", "watch", "1", "--out", out)["layers"] == ["conv1", "conv2"]
    assert "regression" in arrays(out)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--layer", "conv1,,conv2"), 4, "--layer: '' is not a name"),
        (("--layer", "conv1,conv1"), 4, "--layer: 'conv1' is named more than once"),
        (("--layer", "conv9"), 4, "layer 'conv9' is not in model 'toy'"),
        (("--k", "0-3"), 4, "k 0 is not allowed: it must be from 1"),
        (("--method", "ward"), 4, "--method 'ward' is unknown"),
        (("--pairs", 0), 4, "pairs 0 is not allowed"),
        (("--out", "magnitude.txt"), 4, "its name must end in .npz"),
    ],
)
def test_what_magnitude_cannot_do_is_one_line(
    shell: Shell, arguments: tuple[object, ...], code: int, message: str
) -> None:
    found, line = shell.refused("magnitude", *arguments)
    assert (found, message in line) == (code, True), line


def test_help_says_what_the_numbers_mean(shell: Shell) -> None:
    told = " ".join(shell("magnitude", "--help")[1].split())
    assert "A module's share is the part of its layer's channels that it has" in told
    assert "r² is the share of the variance between modules that a line explains" in told
