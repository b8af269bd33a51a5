"""Facts about sets of hybrids: images, sources, classes, and exports that are interrupted."""

import csv
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from _cli_shell import Shell, arrays
from classifier_toys import described, looks_at, mean_colours
from graftscope.client import (
    Client,
    Edit,
    ImageNetwork,
    Intervention,
    LatentPairs,
    Prior,
    StoredLatents,
    Swap,
)
from graftscope.client.errors import GraftscopeError, InputError, UsageError
from graftscope.client.hybrid_sets import REST, HybridSet, export_hybrids, set_cost
from intervention_toys import write_conditional
from server_toys import served

BLOCKS, LAYER = "toy-blocks", "fc"
LABELS = np.array([0, 0, 1, -1])
"""Of the channels of `toy-blocks`; its last one is in no module."""


@pytest.fixture(scope="module")
def address(block_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    conditional = write_conditional(tmp_path_factory.mktemp("conditional") / "bundle")
    with served([block_bundle, conditional], tmp_path_factory.mktemp("state")) as stubs:
        yield stubs.address


def of_blocks(client: Client, **said: Any) -> HybridSet:
    layer = client.model(BLOCKS).layers[-1].name
    return HybridSet(BLOCKS, layer, LABELS, **{"pairs": 20, "seed": 3, **said})


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "table.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in sorted(folder.rglob("*"))
        if each.is_file()
    }


def test_images_are_those_of_hybridize_to_the_byte(client: Client, tmp_path: Path) -> None:
    wanted = of_blocks(client, with_originals=True)
    assert export_hybrids(client, tmp_path / "set", wanted) == wanted.images == 80
    images = contents(tmp_path / "set" / "images")
    assert len(images) == 80
    for module in (0, 1):
        made = client.hybridize(
            BLOCKS, wanted.layer, labels=LABELS, module=module, pairs=20, seed=3, encoding="png"
        )
        for pair in range(20):
            assert images[f"{pair:06d}-module{module}.png"] == made.hybrid[pair]
            assert images[f"{pair:06d}-original1.png"] == made.original1[pair]
            assert images[f"{pair:06d}-original2.png"] == made.original2[pair]
    with Image.open(BytesIO(images["000000-module0.png"])) as image:
        assert image.size == (8, 4)


def latents_of(client: Client, model: str, source: str, seed: int) -> dict[str, Any]:
    """What a row's source is made of."""
    pair, _, which = source.partition("-original")
    drawn = client.generate(model, count=1, first=int(pair), original=int(which), seed=seed)
    return dict(drawn.latents)


@pytest.mark.parametrize("model", [BLOCKS, "conditional"])
def test_an_image_is_made_again_from_the_sources_of_its_row(
    client: Client, tmp_path: Path, model: str
) -> None:
    layer = client.model(model).layer("tokens" if model == "conditional" else "fc").name
    labels = np.arange(client.model(model).layer(layer).channels) % 2
    labels[-1] = -1
    wanted = HybridSet(model, layer, labels, pairs=18, mixtures=2, seed=5)
    export_hybrids(client, tmp_path / "set", wanted)
    made = rows(tmp_path / "set")
    assert [row["kind"] for row in made[:4]] == ["module", "module", "mixture", "mixture"]
    for row in [*made[:4], *made[-4:]]:
        own = f"{row['pair']:06d}-original1"
        assert row["sources"][REST] == own
        donors = {name: source for name, source in row["sources"].items() if source != own}
        assert set(donors) == {str(each) for each in row["modules"]}
        assert len(set(donors.values())) == len(donors)
        edits = [
            Edit(
                layer,
                np.flatnonzero(labels == int(module)),
                action=Swap(StoredLatents(latents_of(client, model, source, 5))),
            )
            for module, source in donors.items()
        ]
        first = latents_of(client, model, own, 5)
        again = client.hybridize(
            model,
            intervention=Intervention(edits),
            originals=LatentPairs(first),
            encoding="png",
        )
        found = (tmp_path / "set" / "images" / row["file"]).read_bytes()
        assert again.hybrid == [found]


def test_a_conditional_generators_classes_are_those_of_each_source(
    client: Client, tmp_path: Path
) -> None:
    labels = np.array([0, 0, 1, 1, -1])
    wanted = HybridSet("conditional", "tokens", labels, pairs=17, mixtures=1, with_originals=True)
    export_hybrids(client, tmp_path / "set", wanted)
    seen = set()
    for row in rows(tmp_path / "set"):
        for part, source in row["sources"].items():
            label = int(latents_of(client, "conditional", source, 0)["label"][0])
            assert row["classes"][part] == label
            seen.add(label)
    assert len(seen) > 1
    with (tmp_path / "set" / "table.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == wanted.images
    assert list(table[0]) == [
        *("file", "kind", "pair", "seed", "layer", "modules"),
        *("module_0", "module_0_class", "module_1", "module_1_class", "rest", "rest_class"),
    ]
    fixed = HybridSet("conditional", "tokens", labels, pairs=2, fix={"label": 3})
    export_hybrids(client, tmp_path / "fixed", fixed)
    assert all(set(row["classes"].values()) == {3} for row in rows(tmp_path / "fixed"))
    shared = HybridSet("conditional", "tokens", labels, pairs=8, share=["label"])
    export_hybrids(client, tmp_path / "shared", shared)
    assert all(len(set(row["classes"].values())) == 1 for row in rows(tmp_path / "shared"))


def test_a_classifier_tells_the_class_of_each_source(client: Client, tmp_path: Path) -> None:
    level = 0.07  # About the median of the left half's mean colour.
    sides = described(("light", "dark"))
    (tmp_path / "left.onnx").write_bytes(looks_at([(0, 4)], sides, [level]))
    wanted = of_blocks(client, mixtures=1, with_originals=True, classifier=tmp_path / "left.onnx")
    export_hybrids(client, tmp_path / "set", wanted)
    seen = set()
    for row in rows(tmp_path / "set"):
        for part, source in row["sources"].items():
            pair, _, which = source.partition("-original")
            image = client.generate(
                BLOCKS, count=1, first=int(pair), original=int(which), seed=3
            ).images
            assert row["classes"][part] == int(mean_colours(image, 0, 4)[0] < level)
            seen.add(row["classes"][part])
    assert seen == {0, 1}
    changed = ImageNetwork(file=looks_at([(0, 4)], sides, [0.0]))
    other = of_blocks(client, mixtures=1, with_originals=True, classifier=changed)
    with pytest.raises(InputError, match=r"another recipe \(classifier .*, not "):
        export_hybrids(client, tmp_path / "set", other)
    both = described(("left", "right"), exclusive=False)
    attributes = ImageNetwork(file=looks_at([(0, 4), (4, 8)], both), title="both")
    with pytest.raises(InputError, match="both tells attributes"):
        export_hybrids(client, tmp_path / "more", of_blocks(client, classifier=attributes))


def test_an_export_that_was_stopped_ends_in_the_same_files(client: Client, tmp_path: Path) -> None:
    wanted = of_blocks(client, pairs=40, mixtures=1, with_originals=True)
    export_hybrids(client, tmp_path / "whole", wanted)

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == wanted.images
        if done > 150:
            raise Stopped

    broken = tmp_path / "broken"
    with pytest.raises(Stopped):
        export_hybrids(client, broken, wanted, stop)
    assert not (broken / "table.csv").exists()
    with (broken / "table.jsonl").open("a") as table:
        table.write('{"file": "0000')  # A line that was cut off.
    (broken / "images" / "000001-module0.png").unlink()
    made = export_hybrids(client, broken, wanted)
    assert made == wanted.images - 16 * 5  # The second call's pairs are there, and whole.
    assert contents(broken) == contents(tmp_path / "whole")
    assert export_hybrids(client, broken, wanted) == 0


def test_a_folder_of_another_recipe_or_of_something_else_is_refused(
    client: Client, tmp_path: Path
) -> None:
    export_hybrids(client, tmp_path / "set", of_blocks(client, pairs=2))
    with pytest.raises(InputError, match=r"another recipe \(pairs 2, not 3; seed 3, not 4\)"):
        export_hybrids(client, tmp_path / "set", of_blocks(client, pairs=3, seed=4))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds something else than a set of hybrids"):
        export_hybrids(client, tmp_path / "other", of_blocks(client, pairs=2))


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ({"modules": [2]}, InputError, "module 2 has no channels in these labels.*: 0, 1"),
        ({"mixtures": 11}, UsageError, "11 mixtures of 2 modules need that many donors, 22"),
        ({"originals": LatentPairs({"z": np.zeros((1, 8))})}, UsageError, "draws its pairs by"),
        ({"pairs": 0}, InputError, "pairs 0"),
    ],
)
def test_what_no_set_can_be_is_refused(
    client: Client, said: dict[str, Any], kind: type[GraftscopeError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        of_blocks(client, **said)


def test_labels_of_another_layer_are_refused(client: Client, tmp_path: Path) -> None:
    wanted = HybridSet(BLOCKS, LAYER, np.zeros(99, np.int64), pairs=2)
    with pytest.raises(InputError, match="labels of 99 channels do not belong to layer"):
        export_hybrids(client, tmp_path / "set", wanted)


def test_arrays_hold_the_same_images_and_rows_as_a_folder(client: Client, tmp_path: Path) -> None:
    wanted = of_blocks(client, pairs=3, originals=Prior(), modules=[1])
    export_hybrids(client, tmp_path / "set", wanted)
    heard: list[int] = []
    export_hybrids(client, tmp_path / "set.npz", wanted, lambda done, _: heard.append(done))
    assert heard == [0, 1, 2, 3]
    held = arrays(tmp_path / "set.npz")
    assert [json.loads(line) for line in held["table"]] == rows(tmp_path / "set")
    np.testing.assert_array_equal(held["labels"], LABELS)
    for row, image in zip(rows(tmp_path / "set"), held["images"], strict=True):
        with Image.open(tmp_path / "set" / "images" / row["file"]) as file:
            np.testing.assert_array_equal(np.asarray(file), image)


def test_the_cost_is_the_number_of_images_and_about_their_bytes(
    client: Client, tmp_path: Path
) -> None:
    wanted = of_blocks(client, pairs=40, mixtures=1)
    cost = set_cost(client, wanted)
    export_hybrids(client, tmp_path / "set", wanted)
    whole = sum(map(len, contents(tmp_path / "set" / "images").values()))
    assert cost.images == 120
    assert cost.image_bytes == pytest.approx(whole, rel=0.1)


def test_the_verb_finds_modules_first_and_its_folder_says_which(
    shell: Shell, tmp_path: Path
) -> None:
    given = ("export-hybrids", "--model", BLOCKS, "--layer", "fc", "--k", 2, "--pairs", 5)
    estimate = shell.json(*given, "--dry-run")["estimate"]
    assert (estimate["images"], estimate["image_bytes"] > 0) == (10, True)
    out = tmp_path / "set"
    told = shell.json(*given, "--out", out)
    assert (told["images"], told["made"], told["modules"]) == (10, 10, [0, 1])
    labels = arrays(out / "modules.npz")["labels"]
    assert (labels[0], labels[2]) == (labels[1], labels[3])
    again = ("export-hybrids", "--pairs", 5, "--out", out)
    assert shell.json(*again)["made"] == 0
    code, line = shell.refused(*again, "--seed", 1)
    assert code == 4
    assert "another recipe (seed 0, not 1)" in line
    code, line = shell.refused(*again, "--k", 3)
    assert code == 2
    assert "--k is of modules that are found first" in line
    copied = tmp_path / "copied"
    assert shell("export-hybrids", "--modules", out / "modules.npz", "--pairs", 5, "--out", copied)
    assert contents(copied / "images") == contents(out / "images")
    assert shell.refused("export-hybrids")[0] == 2
