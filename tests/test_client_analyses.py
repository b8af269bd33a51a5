"""Facts about stability, magnitude and products with a real server and real generators in small."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from _cli_shell import arrays
from graftscope.client import Client, InfluenceTask, JobKind, MagnitudeTask, Method, Prior
from graftscope.client.cli import run
from graftscope.client.errors import GraftscopeError, InputError, NotFoundError

BLOCKS = "toy-blocks"
HALVES = [[0, 1], [2, 3]]
"""The channels of `toy-blocks` that draw the left half of the image, and the right half."""


@pytest.fixture(scope="module")
def client(
    toy_vae_bundle: Path, block_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    state = tmp_path_factory.mktemp("state")
    with Client(bundles=[toy_vae_bundle, block_bundle], state=state) as client:
        yield client


@pytest.fixture(scope="module")
def block_layer(client: Client) -> str:
    return client.model(BLOCKS).layers[-1].name


def test_products_are_of_both_changes_in_one_pair(client: Client, block_layer: str) -> None:
    maps = client.influence(BLOCKS, block_layer, pairs=40, products=True)
    pairs = {
        channel: client.hybridize(BLOCKS, block_layer, (channel,), pairs=40) for channel in (0, 1)
    }
    changes = [
        np.abs(each.hybrid.astype(np.float64) - each.original1).mean(axis=1)
        for each in pairs.values()
    ]
    assert maps.products is not None
    np.testing.assert_allclose(maps.products[0, 1], (changes[0] * changes[1]).mean(), rtol=1e-4)
    np.testing.assert_array_equal(maps.products[:2, 2:], 0.0)


@pytest.mark.parametrize("method", Method)
def test_every_method_finds_the_two_halves(
    client: Client, block_layer: str, method: Method
) -> None:
    maps = client.influence(BLOCKS, block_layer, pairs=64, products=True)
    for given in (maps, maps.operation):
        found = client.modules(given, k=2, method=method)
        assert sorted(list(found.members(module)) for module in (0, 1)) == HALVES


def test_maps_without_products_are_refused_by_name(client: Client, block_layer: str) -> None:
    maps = client.influence(BLOCKS, block_layer, pairs=33)
    with pytest.raises(InputError, match="products"):
        client.modules(maps, k=2, method=Method.PCA)
    with pytest.raises((InputError, NotFoundError), match="products"):
        client.modules(maps.operation, k=2, method=Method.PCA)


def test_stability_is_the_same_for_maps_and_for_their_operation(client: Client) -> None:
    maps = client.influence("toy-vae", "intermediate", pairs=64, products=True)
    methods = (Method.NMF, Method.SPECTRAL)
    first = client.stability(maps, (2,), methods, repeats=3, seed=5)
    second = client.stability(maps.operation, (2,), methods, repeats=3, seed=5)
    np.testing.assert_array_equal(first.consistency, second.consistency)
    assert first.source == second.source == maps.source
    assert first.consistency.shape == (2, 1, 3)
    settled = first.consistency[np.isfinite(first.consistency)]
    assert ((settled >= 0) & (settled <= 1)).all()
    assert [each.method for each in first.suggested] == list(methods)


def test_magnitude_measures_modules_on_the_pairs_that_follow(
    client: Client, block_layer: str
) -> None:
    found = client.magnitude(BLOCKS, (block_layer,), (2,), pairs=64, originals=Prior())
    labels = np.array([0, 0, 1, 1])
    modules = client.influence(
        BLOCKS, block_layer, labels=labels, pairs=64, first=64, originals=Prior()
    )
    np.testing.assert_allclose(np.sort(found.individual), np.sort(modules.individual), rtol=1e-5)
    np.testing.assert_array_equal(found.channels, [2, 2])
    np.testing.assert_array_equal(found.share, [0.5, 0.5])
    # Two modules of one size: there is no line.
    assert np.isnan(found.by_share[0].slope)
    assert (found.pairs, found.originals, found.method) == (64, "prior", Method.NMF)


def test_the_channels_of_a_layers_modules_are_at_most_the_layers(client: Client) -> None:
    model = client.model("toy-vae")
    found = client.magnitude("toy-vae", pairs=33)
    assert found.layers == tuple(layer.name for layer in model.layers[-3:])
    for layer in found.layers:
        rows = found.layer == layer
        for k in np.unique(found.k[rows]):
            assert found.channels[rows & (found.k == k)].sum() <= model.layer(layer).channels
    assert [line.rows for line in found.by_share][-1] == len(found.k)


def test_a_magnitude_is_estimated_and_its_job_tells_what_it_is_of(client: Client) -> None:
    task = MagnitudeTask("toy-vae", ("coarse", "fine"), (2,), pairs=33)
    whole = client.estimate(task).hybrids
    one_layer = client.estimate(InfluenceTask("toy-vae", "coarse", pairs=33)).hybrids
    assert whole > one_layer
    job = client.start(task)
    names = [client.model("toy-vae").layer(each).name for each in ("coarse", "fine")]
    assert (job.kind, job.model, job.layer) == (JobKind.MAGNITUDE, "toy-vae", ", ".join(names))
    client.wait(job.name)


def test_a_k_that_no_third_allows_is_refused_with_what_is_allowed(client: Client) -> None:
    maps = client.influence("toy-vae", "intermediate", pairs=33)
    channels = maps.maps.shape[0]
    with pytest.raises(GraftscopeError, match=rf"\b{channels}\b"):
        client.stability(maps.operation, (channels + 1,))


def test_the_verbs_work_on_the_server_inside_the_process(
    block_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ("--bundle", str(block_bundle), "--state", str(tmp_path / "state"), "--json")
    maps, out = tmp_path / "maps.npz", tmp_path / "out.npz"
    layer = ("--layer", "fc", "--pairs", "64")
    assert run(["influence", *layer, "--products", "--out", str(maps), *here]) == 0
    methods = ("--k", "2", "--method", "nmf,kmeans,pca,spectral", "--repeats", "2")
    assert run(["stability", "--maps", str(maps), *methods, "--out", str(out), *here]) == 0
    assert arrays(out)["method"].tolist() == ["nmf", "kmeans", "pca", "spectral"]
    assert run(["magnitude", "--layer", "fc", "--pairs", "33", "--out", str(out), *here]) == 0
    assert arrays(out)["regression"].tolist() == ["fc", "pooled"]
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each.get("layers", each.get("methods")) for each in documents][-1] == ["fc"]
