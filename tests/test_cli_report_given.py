"""Facts about a report that starts from maps and modules that were computed before."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _cli_shell import Shell
from graftscope.client import InfluenceResult, LayersResult, ModulesResult
from graftscope.client.arrays import write_npz
from graftscope.client.cli import _report_contents, run


def figures(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}
    assert found
    return found


def test_a_report_of_files_is_the_one_that_computes_and_computes_no_map_again(
    shell: Shell, tmp_path: Path
) -> None:
    maps, modules = tmp_path / "maps.npz", tmp_path / "modules.npz"
    asked = ("--pairs", 20, "--seed", 3)
    shell("influence", "--layer", "coarse", *asked, "--out", maps)
    grouped = ("--k", 2, "--clustering-seed", "0,1", "--method", "kmeans")
    shell("modules", "--maps", maps, *grouped, "--out", modules)
    code, out, err = shell("report", "--maps", maps, "--modules", modules, "--out", tmp_path / "a")
    assert (code, out) == (0, f"{tmp_path / 'a' / 'index.html'}\n")
    assert "influence maps of" not in err
    assert "modules, with" not in err
    whole = ("--layer", "coarse", *asked, *grouped, "--out", tmp_path / "b")
    assert "influence maps of 6 channels" in shell("report", *whole)[2]
    assert figures(tmp_path / "a") == figures(tmp_path / "b")
    page = (tmp_path / "a" / "index.html").read_text(encoding="utf-8")
    assert "k-means" in page


def test_a_report_asks_a_real_server_for_modules_so_far_of_channels_alone(
    toy_vae_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # It measures whole modules too, and a server refuses modules of those.
    where = ("--bundle", toy_vae_bundle, "--layer", "intermediate")
    pairs = ("--pairs", 64, "--k", 2, "--out", tmp_path / "page")
    assert run([str(each) for each in ("report", *where, *pairs)]) == 0
    assert "each whole module" in capsys.readouterr().err
    assert (tmp_path / "page" / "index.html").exists()


def test_what_modules_are_worth_is_measured_where_it_is_asked_for(
    toy_vae_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_report_contents, "WORTH_PAIRS", 64)
    where = ("--bundle", toy_vae_bundle, "--layer", "intermediate")
    asked = ("--pairs", 64, "--k", 2, "--worth", "--out", tmp_path)
    assert run([str(each) for each in ("report", *where, *asked)]) == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "What they are worth" in page
    assert "over 64 hybrids of each module" in page
    assert page.count("a random set</td>") == 2


def test_maps_of_several_layers_stand_in_one_report_and_modules_are_found_where_none_are_given(
    shell: Shell, tmp_path: Path
) -> None:
    first, second, modules = (tmp_path / f"{name}.npz" for name in ("1", "2", "modules"))
    shell("influence", "--layer", "coarse", "--pairs", 20, "--out", first)
    shell("influence", "--layer", "intermediate", "--pairs", 20, "--out", second)
    shell("modules", "--maps", second, "--k", 3, "--out", modules)
    files = ("--maps", second, "--maps", first, "--modules", modules)
    code, _, err = shell("report", *files, "--k", 2, "--out", tmp_path / "page")
    assert code == 0, err
    assert "conv1 layer: 2 modules" in err
    assert "conv2 layer: 3 modules" not in err
    assert err.index("conv2 layer") < err.index("conv1 layer")
    layers = {path.stem: InfluenceResult.load(path) for path in (second, first)}
    LayersResult(
        {each.layer: replace(each, operation="operations/1") for each in layers.values()},
        "operations/1",
    ).save(tmp_path / "both.npz")
    both = ("--maps", tmp_path / "both.npz", "--out", tmp_path / "other")
    code, _, err = shell("report", *both)
    assert err.index("conv2 layer") < err.index("conv1 layer")


@pytest.fixture
def maps(shell: Shell, tmp_path: Path) -> Path:
    """Maps of the coarse layer over 20 pairs."""
    path = tmp_path / "maps.npz"
    shell("influence", "--layer", "coarse", "--pairs", 20, "--out", path)
    return path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "toy"), "leave out --model, --layer"),
        (("--layer", "coarse"), "leave out --model, --layer"),
        (("--dry-run",), "leave out --maps"),
        (("--pairs", 30), "--pairs is of maps that are computed: leave out --maps, or it"),
        (("--originals", "prior"), "says where its pairs come from (encoded)"),
        (("--k", 7), "k 7 is more than the 6 maps"),
        (("--method", "pca"), "--method 'pca' is unknown"),
    ],
)
def test_what_maps_say_already_is_refused(
    options: tuple[Any, ...], words: str, shell: Shell, maps: Path, tmp_path: Path
) -> None:
    line = shell.refused("report", "--maps", maps, "--out", tmp_path / "page", *options)[1]
    assert words in line


def changed(path: Path, **fields: Any) -> Path:
    result = replace(InfluenceResult.load(path), **fields)
    result.save(path.with_name("changed.npz"))
    return path.with_name("changed.npz")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: changed(path, subject="modules"), "holds maps of modules"),
        (lambda path: changed(path, seed=None), "does not say which pairs its maps are of"),
        (lambda path: changed(path, originals="images"), "with --originals PATH"),
        (lambda path: changed(path, originals="latents"), "with --latents1 and --latents2"),
        (lambda path: changed(path, fixed=("z",)), "give it with --fix z=VALUE"),
        (lambda path: changed(path, model="other"), "which this server does not have"),
        (lambda path: path.with_name("none.npz"), "there is no file"),
        (lambda path: f"{path},{changed(path)}", "are both of layer 'conv1'"),
        (
            lambda path: f"{path},{changed(path, layer='conv2', pairs=9)}",
            "9 pairs of seed 0 from 0 (encoded)",
        ),
    ],
)
def test_maps_that_do_not_belong_here_are_refused_by_name(
    change: Callable[[Path], object], words: str, shell: Shell, maps: Path, tmp_path: Path
) -> None:
    line = shell.refused("report", "--maps", change(maps), "--out", tmp_path / "page")[1]
    assert words in line
    assert ".npz" in line


def test_modules_of_other_maps_are_refused(shell: Shell, maps: Path, tmp_path: Path) -> None:
    path = tmp_path / "modules.npz"
    shell("modules", "--maps", maps, "--k", 2, "--out", path)
    found = ModulesResult.load(path)
    page = ("--out", tmp_path / "page")

    def refused(**fields: Any) -> str:
        replace(found, **fields).save(path)
        return shell.refused("report", "--maps", maps, "--modules", path, *page)[1]

    assert found.source is not None
    assert "was found in" in refused(source=replace(found.source, operation="operations/9"))
    assert "of which there are no --maps" in refused(source=replace(found.source, layer="conv2"))
    assert "does not say which maps" in refused(source=None)
    assert "a report is of modules by nmf, kmeans, agglomerative" in refused(method=None)
    found.save(path)
    line = shell.refused("report", "--maps", maps, "--modules", path, "--k", 2, *page)[1]
    assert "--k is of modules that are found: leave out --modules, or it" in line
    assert "--modules goes with --maps" in shell.refused("report", "--modules", path, *page)[1]


def test_given_pairs_are_given_again(client: Any, shell: Shell, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    ends = tmp_path / "first.npz", tmp_path / "second.npz"
    shapes = {each.name: (4, *each.shape) for each in client.model("toy").inputs}
    for path in ends:
        write_npz(path, {name: random.random(shape) for name, shape in shapes.items()})
    given = ("--latents1", ends[0], "--latents2", ends[1])
    shell("influence", "--layer", "coarse", *given, "--out", tmp_path / "maps.npz")
    page = ("--out", tmp_path / "page")
    code, _, err = shell("report", "--maps", tmp_path / "maps.npz", *given, *page)
    assert code == 0, err


def test_maps_of_modules_are_not_grouped_as_if_they_were_channels(
    shell: Shell, maps: Path, tmp_path: Path
) -> None:
    modules, out = tmp_path / "modules.npz", tmp_path / "of-modules.npz"
    shell("modules", "--maps", maps, "--k", 2, "--out", modules)
    shell("influence", "--layer", "coarse", "--modules", modules, "--pairs", 5, "--out", out)
    for verb in ("modules", "stability"):
        assert "holds maps of modules" in shell.refused(verb, "--maps", out)[1]
