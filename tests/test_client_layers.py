"""Several layers in one pass, from the client and the command line, on a real server."""

import json
from pathlib import Path

import numpy as np
import pytest

from _cli_shell import arrays
from graftscope.client import Client, InfluenceTask, LayersResult, Prior
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
