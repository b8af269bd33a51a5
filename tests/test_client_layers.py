"""Several layers in one pass, from the client and the command line, on a real server."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _cli_shell import arrays
from graftscope.client import (
    Client,
    ConfidentLabels,
    InfluenceTask,
    LayersResult,
    Method,
    Prior,
)
from graftscope.client.arrays import read_source
from graftscope.client.cli import run
from graftscope.client.errors import InputError, UsageError
from graftscope.client.values import layer_path

# A pass of several layers may run another number of pairs at once, added in other groups.
TOLERANCE = 1e-5


def test_each_layer_is_what_its_own_influence_is(toy_client: Client) -> None:
    found = toy_client.influence_layers("toy-vae", ["fine", "fc"], pairs=40, originals=Prior())
    assert list(found.layers) == ["deconv2", "fc"]
    for name, maps in found.layers.items():
        alone = toy_client.influence("toy-vae", name, pairs=40, originals=Prior())
        np.testing.assert_allclose(maps.maps, alone.maps, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(maps.individual, alone.individual, rtol=0, atol=TOLERANCE)
        np.testing.assert_array_equal(maps.channels, alone.channels)
        assert (maps.layer, maps.pairs, maps.operation) == (name, 40, found.operation)
        assert toy_client.modules(maps, k=2).labels.shape == maps.channels.shape
    assert found["fc"] is found.layers["fc"]


def test_products_of_each_layer_are_its_own(toy_client: Client) -> None:
    found = toy_client.influence_layers("toy-vae", ["fine", "fc"], pairs=8, products=True)
    alone = toy_client.influence("toy-vae", "fc", pairs=8, products=True)
    assert found["fc"].products is not None
    assert alone.products is not None
    np.testing.assert_allclose(found["fc"].products, alone.products, rtol=1e-4)


@pytest.mark.parametrize("method", [Method.NMF, Method.PCA])
def test_modules_of_one_layer_of_several_are_as_sure_as_those_of_its_own_job(
    toy_client: Client, tmp_path: Path, method: Method
) -> None:
    asked: dict[str, Any] = {"pairs": 160, "seed": 3, "products": True, "originals": Prior()}
    found = toy_client.influence_layers("toy-vae", ["fine", "fc"], **asked)
    found.save(tmp_path / "maps.npz")
    for name, maps in LayersResult.load(tmp_path / "maps.npz").layers.items():
        ours = toy_client.modules(maps, k=2, method=method)
        alone = toy_client.influence("toy-vae", name, **asked)
        own = toy_client.modules(alone, k=2, method=method)
        assert ours.confidence_unknown == ""
        assert set(own.labels) >= {0, 1}
        # Some of a thousand draws may fall to the other side where groups were rounded otherwise.
        np.testing.assert_allclose(ours.probabilities, own.probabilities, rtol=0, atol=0.02)


def test_layers_stop_together(toy_client: Client) -> None:
    found = toy_client.influence_layers("toy-vae", ["fine", "fc"], pairs=2000, until="se=0.9")
    (pairs,) = {each.pairs for each in found.layers.values()}
    assert pairs < 2000
    assert all(each.stopping and each.stopping.met for each in found.layers.values())


def test_a_job_of_layers_is_read_again_by_its_name(toy_client: Client) -> None:
    job = toy_client.start(InfluenceTask("toy-vae", layers=("fine", "fc"), pairs=40))
    assert job.layer == "deconv2, fc"
    assert isinstance(toy_client.wait(job.name), LayersResult)


@pytest.mark.parametrize(
    "beside", [{"layer": "fc"}, {"channels": (0,)}, {"labels": np.zeros(6, int)}]
)
def test_layers_take_nothing_beside_them(beside: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="leave out `layer`"):
        InfluenceTask("toy-vae", layers=("fine", "fc"), **beside)  # type: ignore[arg-type]


@pytest.mark.parametrize("layers", [[], ["fc", "fc"], ["fc", "coarse"], ["fc", "conv9"]])
def test_layers_that_are_none_twice_or_unknown_are_refused(
    toy_client: Client, layers: list[str]
) -> None:
    with pytest.raises(InputError):
        toy_client.influence_layers("toy-vae", layers, pairs=8)


def test_a_layers_name_becomes_part_of_a_files() -> None:
    assert layer_path("out/maps.npz", "fc") == Path("out/maps.fc.npz")
    assert layer_path("maps.npz", "/block 1/add").name == "maps._block_1_add.npz"


def test_the_verb_writes_a_file_a_layer(
    toy_vae_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ("--bundle", str(toy_vae_bundle), "--state", str(tmp_path / "state"))
    out = tmp_path / "maps.npz"
    asked = ["influence", "--layer", "coarse,fine", "--pairs", "40", "--out", str(out), *here]
    assert run([*asked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["layer"] for each in document["layers"]] == ["fc", "deconv2"]
    for each, name in zip(document["layers"], ("coarse", "fine"), strict=True):
        path = tmp_path / f"maps.{name}.npz"
        assert each["out"] == str(path)
        assert len(arrays(path)["maps"]) == len(each["channels"])
        source = read_source(path)
        assert source is not None
        assert source.layer == each["layer"]
    assert not out.exists()
    assert run(asked) == 0
    told = capsys.readouterr().out
    assert "maps.coarse.npz" in told
    assert "maps.fine.npz" in told
    assert run([*asked, "--channels", "0"]) == 2
    assert "leave out --channels" in capsys.readouterr().err


def test_channels_of_each_layer_stop_by_themselves(toy_client: Client) -> None:
    found = toy_client.influence_layers(
        "toy-vae", ["fine", "fc"], pairs=352, stratified=True, until="labels=0.9,k=2,method=kmeans"
    )
    for each in found.layers.values():
        assert each.stopping is not None
        assert each.stopping.until == ConfidentLabels(0.9, 2, Method.KMEANS)
        flat = each.individual == 0
        assert (each.pairs_of[flat] == 128).all()
        assert each.pairs == each.pairs_of.max() <= 352
        assert set(each.pairs_of.tolist()) <= {128, 192, 256, 352}
        settled = np.count_nonzero(each.pairs_of < 352)
        assert settled <= each.stopping.settled
    together = toy_client.influence_layers(
        "toy-vae",
        ["fine", "fc"],
        pairs=352,
        stratified=True,
        until="labels=0.9,k=2,method=kmeans,together",
    )
    assert len({n for each in together.layers.values() for n in each.pairs_of.tolist()}) == 1


@pytest.mark.parametrize(
    ("pairs", "until", "told"),
    [
        (64, "labels=0.9,k=2", "the probability of labels can be told from 128 pairs on"),
        (256, "labels=0.9,k=50", "k is 50; 2 to"),
    ],
)
def test_rules_that_cannot_hold_are_refused_with_what_is_allowed(
    toy_client: Client, pairs: int, until: str, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        toy_client.influence("toy-vae", "fc", pairs=pairs, until=until)


def test_the_verb_tells_how_many_pairs_the_channels_had(
    toy_vae_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "maps.npz"
    here = ("--bundle", str(toy_vae_bundle), "--state", str(tmp_path / "state"), "--out", str(out))
    # An error that no map reaches, but those without influence.
    rule = ("--layer", "fc", "--pairs", "96", "--until", "se=0.000001")
    assert run(["influence", *rule, *here]) == 0
    told = capsys.readouterr().err
    assert "; channels had 96 pairs (median), the most 96; " in told
    assert "channels did not settle" in told
    assert sorted(set(arrays(out)["pairs_of"].tolist())) == [64, 96]
    assert run(["influence", *rule, *here, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["pairs_of"] == arrays(out)["pairs_of"].tolist()
    dead = sum(value == 0 for value in document["individual"])
    assert document["stopping"]["settled"] == dead > 0
