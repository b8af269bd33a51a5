"""The paper's experiments on the generators that ship, in small: every figure, number and claim."""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from _cli_shell import Shell
from graftscope.client import Client, Prior
from graftscope.client.cli._reproduce import ALL, NAMES, TOO_FEW
from graftscope.client.cli._reproduce import WORTH as WORTH_NAME
from graftscope.client.reproduce import (
    EXPERIMENTS,
    GENERATORS,
    Effort,
    RealImages,
    Reproduction,
    Study,
    Verdict,
    write_page,
    write_reproduction,
)
from graftscope.client.values import AnalysisResult, InfluenceTask, MagnitudeTask, Task

EFFORT = Effort(pairs=8, hybrids=6, shown=3, repeats=1, worth=64, sweep=(4, 8))
"""As few as will do: facts about what is written, not about the paper."""

LONGEST = pytest.param("fig8", marks=pytest.mark.soak)
"""As long as all the others: a GAN and a VAE, each by several methods."""

WORTH = pytest.param("worth", marks=pytest.mark.soak)
"""Every level of every generator."""

RUN = ("table1", "fig2b", "fig3", "fig6", LONGEST, WORTH)
"""Those that together take every path but that of stability at 128 channels, which is slow."""

STEMS = {
    "table1": ["table1"],
    "fig2b": ["fig2b"],
    "fig3": [f"fig3-{name}" for name in ("clusters", "magnitude", "levels", "purity", "seams")],
    "fig6": [f"fig6-{name}" for name in ("clusters", "beta", "stability")],
    "fig8": [
        *(
            f"fig8-{name}"
            for name in ("gan-clusters", "gan-methods", "vae-clusters", "vae-methods")
        ),
        "fig8-stability",
    ],
    "worth": ["worth-faithfulness", "worth-reach-vae-celeba", "worth-reach-gan-celeba"],
}

DATA = "GRAFTSCOPE_DATA"
STANDS_IN = "stands in for real images"
WITH_DATA = pytest.mark.skipif(DATA not in os.environ, reason=f"{DATA} is not set")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(state=tmp_path_factory.mktemp("state")) as opened:
        yield opened


def study_of(
    client: Client, real: RealImages | None = None, asked: list[Task] | None = None
) -> Study:
    def answer(task: Task) -> AnalysisResult:
        if asked is not None:
            asked.append(task)
        return client.wait(client.start(task).name)

    return Study(client, EFFORT, answer, lambda line: None, real)


Written = tuple[Reproduction, list[Path], dict[str, Any]]


@pytest.fixture(scope="module")
def asked() -> list[Task]:
    """What the experiments asked for."""
    return []


@pytest.fixture(scope="module")
def written(
    client: Client, asked: list[Task], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Written]:
    study, out = study_of(client, asked=asked), tmp_path_factory.mktemp("out")

    @cache
    def write(name: str) -> Written:
        found = EXPERIMENTS[name](study)
        files = write_reproduction(found, {"pairs": EFFORT.pairs, "seed": 0}, out)
        return found, files, strict_json(files[0].read_text("utf-8"))

    return write


def strict_json(text: str) -> Any:
    """Read JSON that has neither NaN nor Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def captions(found: Reproduction) -> str:
    return "\n".join(each.caption for each in found.pictures)


@pytest.mark.parametrize("name", RUN)
def test_every_picture_is_drawn_as_png_and_pdf(
    name: str, written: Callable[[str], Written]
) -> None:
    found, files, document = written(name)
    assert [each.stem for each in found.pictures] == STEMS[name]
    endings = (".png", ".pdf", "-dark.png")
    expected = [f"{stem}{ending}" for stem in STEMS[name] for ending in endings]
    assert [file.name for file in files] == [f"{name}.json", *expected]
    assert [each["file"] for each in document["figures"]] == STEMS[name]
    for file in files[1:]:
        if file.suffix == ".pdf":
            assert file.read_bytes().startswith(b"%PDF-")
            continue
        with Image.open(file) as image:
            # Something is drawn, in one of the two widths that a journal has, with a margin.
            assert image.width in (1035, 2100)
            assert np.asarray(image).std() > 5
            assert (image.getpixel((2, 2)) == (255, 255, 255)) is ("-dark" not in file.stem)


@pytest.mark.parametrize("name", RUN)
def test_pairs_are_independent_and_all_used(
    name: str, written: Callable[[str], Written], asked: list[Task]
) -> None:
    written(name)
    for task in asked:
        if isinstance(task, InfluenceTask):
            assert (task.stratified, task.until) == (False, None)
        if isinstance(task, MagnitudeTask):
            assert not task.stratified
    assert any(isinstance(task, InfluenceTask) for task in asked)


@pytest.mark.parametrize("name", RUN)
def test_numbers_are_json_and_claims_say_what_counts(
    name: str, written: Callable[[str], Written]
) -> None:
    found, _, document = written(name)
    assert (document["name"], document["context"]) == (name, {"pairs": EFFORT.pairs, "seed": 0})
    assert document["numbers"]
    assert len(document["claims"]) == len(found.claims) > 0
    for claim in document["claims"]:
        assert all(claim[part] for part in ("section", "claim", "measured", "criterion"))
        assert claim["verdict"] in [each.value for each in Verdict]


@pytest.mark.parametrize("name", ["fig3", "fig6", LONGEST])
def test_few_pairs_give_no_verdict_on_modules_and_say_how_many_would(
    name: str, written: Callable[[str], Written]
) -> None:
    claims = [claim for claim in written(name)[2]["claims"] if claim["sample"]]
    assert claims
    for claim in claims:
        assert claim["verdict"] == Verdict.TOO_FEW == TOO_FEW
        needed = re.search(r"about ([\d,]+) pairs$", claim["sample"])
        assert needed
        assert int(needed[1].replace(",", "")) > EFFORT.pairs


@pytest.mark.parametrize("name", ["fig2b", "fig3", "fig6"])
def test_every_caption_of_a_vae_says_that_encodings_stand_in(
    name: str, written: Callable[[str], Written]
) -> None:
    found, _, _ = written(name)
    assert all(STANDS_IN in each.caption for each in found.pictures)
    assert "held-out" not in captions(found)


@pytest.mark.soak
def test_captions_of_a_gan_say_the_prior(written: Callable[[str], Written]) -> None:
    for picture in written("fig8")[0].pictures:
        assert (STANDS_IN in picture.caption) is ("-vae-" in picture.stem)
        assert ("the prior" in picture.caption) is ("-vae-" not in picture.stem)


def test_table1_has_what_bundles_say_beside_the_paper(written: Callable[[str], Written]) -> None:
    numbers = written("table1")[2]["numbers"]
    assert tuple(numbers) == GENERATORS
    # Of a GAN's training, what keeps generator and discriminator from circling is ours.
    of_gans = {"optimiser": "Adam, beta1 0.0", "batch size": "32"}
    for name, each in numbers.items():
        ours = of_gans if name.startswith("gan") else {}
        assert each["ours"] == {**each["paper"], **ours}
    assert written("table1")[2]["claims"][0]["verdict"] == "partly"


def test_modules_of_fig3_hold_every_channel_once(written: Callable[[str], Written]) -> None:
    levels = written("fig3")[2]["numbers"]["levels"]
    sizes = {"coarse": 64, "intermediate": 64, "fine": 32, "image": 16}
    assert list(levels) == list(sizes)
    for level, modules in levels.items():
        held = sorted(channel for module in modules for channel in module["channels"])
        assert held == list(range(sizes[level]))


def test_with_every_channel_a_module_keeps_all_of_its_influence(
    written: Callable[[str], Written],
) -> None:
    purity = written("fig3")[2]["numbers"]["purity"]
    assert purity["min_purity"][0] == 0
    for module in purity["modules"]:
        assert module["share_of_influence"][0] == pytest.approx(1.0)
        assert module["channels"] == sorted(module["channels"], reverse=True)


def test_the_page_shows_every_figure_and_claim(
    written: Callable[[str], Written], tmp_path: Path
) -> None:
    found = [written(name)[0] for name in ("table1", "fig2b")]
    for name in ("table1", "fig2b"):
        shutil.copy(written(name)[1][0].with_name(f"{name}.png"), tmp_path)
    page = write_page(found, {"pairs": EFFORT.pairs}, tmp_path).read_text("utf-8")
    assert re.findall(r'<img src="([^"]*)"', page) == ["table1.png", "fig2b.png"]
    assert re.findall(r'srcset="([^"]*)"', page) == ["table1-dark.png", "fig2b-dark.png"]
    assert all(f">{claim.verdict}</span>" in page for each in found for claim in each.claims)
    # A table of all verdicts, and one an experiment.
    assert page.count("<tr>") == 3 + 2 * sum(len(each.claims) for each in found)
    assert f"pairs <b>{EFFORT.pairs}</b>" in page


def test_a_gan_draws_its_originals_from_the_prior_whatever_images_there_are(
    client: Client,
) -> None:
    study = study_of(client, RealImages(Path("nowhere")))
    assert isinstance(study.originals("gan-celeba"), Prior)


# Real images


@WITH_DATA
def test_with_data_originals_are_held_out_images_alone(client: Client) -> None:
    folder = Path(os.environ[DATA])
    study = study_of(client, RealImages(folder))
    found = EXPERIMENTS["fig6"](study)
    expected = held_out_of(folder / "celeba64.zip")
    assert (study.images("vae-celeba").images == expected).all()
    for picture in found.pictures:
        assert f"{len(expected):,} held-out real images" in picture.caption
        assert STANDS_IN not in picture.caption
    assert found.numbers["sharpness_against"] == "held-out real images"
    sharpness = found.numbers["sharpness"]
    assert isinstance(sharpness, dict)
    assert all(0 < each["mean"] < 1 for each in sharpness.values())


def held_out_of(archive: Path) -> np.ndarray:
    """The faces whose number is divisible by ten, which is that of the file's name."""
    with zipfile.ZipFile(archive) as file:
        names = [name for name in sorted(file.namelist()) if re.search(r"0\.jpg$", name)]
        return np.stack([np.asarray(Image.open(BytesIO(file.read(name)))) for name in names])


# The command line


@pytest.fixture
def address(client: Client) -> str:
    return client.address


def test_the_verb_names_the_experiments_that_there_are() -> None:
    assert tuple(EXPERIMENTS) == (*NAMES, WORTH_NAME)
    assert ALL not in EXPERIMENTS


def test_an_unknown_experiment_is_one_line_with_those_that_there_are(
    shell: Shell, tmp_path: Path
) -> None:
    code, line = shell.refused("reproduce", "fig9", "--out", tmp_path / "out")
    assert code == 4
    assert "'fig9' is no experiment" in line
    assert all(name in line for name in (*NAMES, ALL, WORTH_NAME))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["table1", "fig2b"])
def test_data_that_is_not_there_is_one_line_before_any_work(
    name: str, shell: Shell, tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere"
    code, line = shell.refused("reproduce", name, "--data", missing, "--out", tmp_path)
    assert code == 3
    assert f"--data {missing}" in line


def test_as_json_the_verb_prints_one_document(shell: Shell, tmp_path: Path) -> None:
    document = shell.json("reproduce", "table1", "--quick", "--out", tmp_path)
    assert document["page"] == str(tmp_path / "index.html")
    table = document["experiments"]["table1"]
    assert table["figures"] == [str(tmp_path / "table1.png")]
    assert [claim["section"] for claim in table["claims"]] == ["Table 1"]
    context = strict_json(Path(table["numbers"]).read_text("utf-8"))["context"]
    assert (context["pairs"], context["originals of VAEs"]) == (200, "encoded")


def test_for_people_the_verb_prints_verdicts_and_the_page(shell: Shell, tmp_path: Path) -> None:
    code, out, err = shell("reproduce", "table1", "--out", tmp_path)
    assert code == 0
    assert out.splitlines()[1].split()[0] == "table1"
    assert out.splitlines()[1].split()[-1] == "partly"
    assert out.splitlines()[-1] == str(tmp_path / "index.html")
    assert err == "[1 of 1] table1\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "index.html",
        "table1-dark.png",
        "table1.json",
        "table1.pdf",
        "table1.png",
    ]
