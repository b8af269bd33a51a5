"""Clients are told what a job has found so far."""

from pathlib import Path

import numpy as np
import pytest

from _cli_shell import Shell, arrays
from graftscope.client import (
    AsyncClient,
    Client,
    InfluenceResult,
    InfluenceTask,
    Job,
    LayersResult,
    Method,
    ModulesResult,
    ModulesSoFar,
    ModulesTask,
)
from graftscope.client.errors import InputError
from request_toys import LAYER
from server_toys import served

TOLERANCE = 1e-6
"""Each job measures a plan of its own, which may round otherwise; the range is 2 wide."""


def test_maps_so_far_are_those_of_as_many_pairs_and_can_be_saved(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    with served([toy_vae_bundle], tmp_path / "state") as stubs, Client(stubs.address) as client:
        job = client.start(InfluenceTask("toy-vae", LAYER, pairs=1_000_000))
        states = client.watch(job.name)
        next(state for state in states if state.progress.shards_done)
        told = client.partial(job.name)
        assert told.is_partial
        assert isinstance(told.influence, InfluenceResult)
        assert (told.pairs, told.modules) == (told.influence.pairs, {})
        client.cancel(job.name)
        whole = client.influence("toy-vae", LAYER, pairs=told.pairs)
        np.testing.assert_allclose(told.influence.maps, whole.maps, rtol=0, atol=TOLERANCE)
        told.influence.save(tmp_path / "maps.npz")
        loaded = InfluenceResult.load(tmp_path / "maps.npz")
        assert loaded == told.influence
        assert (loaded.is_partial, whole.is_partial) == (True, False)
        found = client.modules(loaded, 2, method=Method.KMEANS)
        found.save(tmp_path / "modules.npz")
        assert ModulesResult.load(tmp_path / "modules.npz").is_partial
        assert "partial" in str(found.source)
        with pytest.raises(InputError, match="computes modules"):
            client.partial(client.start(ModulesTask(whole.maps, 2)).name)


def modules_of(state: Job) -> ModulesSoFar | None:
    """What a watch has told of modules, once there are some."""
    found = state.so_far and state.so_far.modules
    return found if found and found.layers else None


def test_modules_that_a_watch_tells_are_those_of_as_many_pairs(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    with served([toy_vae_bundle], tmp_path / "state") as stubs, Client(stubs.address) as client:
        job = client.start(InfluenceTask("toy-vae", LAYER, pairs=1_000_000))
        states = client.watch(job.name, modules=2, method="kmeans", maps=True)
        state = next(state for state in states if modules_of(state))
        client.cancel(job.name)
        assert (state.so_far is None, state.pairs) == (False, 1_000_000)
        maps, found = state.so_far.maps, state.so_far.modules  # type: ignore[union-attr]
        assert maps is not None
        assert found is not None
        whole = client.influence("toy-vae", LAYER, pairs=found.pairs)
        modules = client.modules(whole, 2, method=Method.KMEANS)
        told = found.layers[LAYER]
        np.testing.assert_array_equal(told.labels, modules.labels)
        np.testing.assert_allclose(told.templates, modules.templates, atol=TOLERANCE)
        np.testing.assert_allclose(told.probabilities, modules.probabilities, atol=TOLERANCE)
        assert found.sure == np.count_nonzero(modules.confidence >= 0.95)
        assert told.between() == modules.between()
        assert maps.maps.shape == whole.maps.shape
        # What came meanwhile is newer; the end takes nothing away.
        before, ended = [state, *states][-2:]
        assert (ended.done, ended.so_far) == (True, before.so_far)


async def test_several_layers_are_told_of_by_their_names(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    with served([toy_vae_bundle], tmp_path / "state") as stubs:
        async with AsyncClient(stubs.address) as client:
            layers = [each.name for each in (await client.model("toy-vae")).layers][:2]
            task = InfluenceTask("toy-vae", layers=layers, pairs=1_000_000)
            job = await client.start(task)
            async for state in client.watch(job.name, modules=2, method="kmeans", maps=True):
                if modules_of(state):
                    break
            told = await client.partial(job.name)
            await client.cancel(job.name)
            found, maps = modules_of(state), state.so_far and state.so_far.maps
            assert found is not None
            assert list(found.layers) == layers
            assert maps
            assert maps.layers == tuple(layers)
            assert maps.layer_of is not None
            for at, layer in enumerate(layers):
                channels = np.count_nonzero(maps.layer_of == at)
                assert found.layers[layer].labels.shape == (channels,)
            assert isinstance(told.influence, LayersResult)
            assert told.is_partial
            told.influence.save(tmp_path / "maps.npz")
            assert LayersResult.load(tmp_path / "maps.npz").is_partial


async def test_of_a_job_that_is_done_it_is_the_result_with_modules(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    with served([toy_vae_bundle], tmp_path / "state") as stubs:
        async with AsyncClient(stubs.address) as client:
            whole = await client.influence("toy-vae", LAYER, pairs=160)
            told = await client.partial(whole.operation, modules=2, method="kmeans")
            assert not told.is_partial
            assert told.influence == whole
            modules = await client.modules(whole, 2, method=Method.KMEANS)
            np.testing.assert_array_equal(told.modules[LAYER].labels, modules.labels)
            # Five groups of pairs are enough to tell how sure labels are.
            assert np.isfinite(modules.probabilities).any()
            found = told.modules[LAYER]
            np.testing.assert_array_equal(found.probabilities, modules.probabilities)
            assert (told.modules_pairs, told.skipped) == (160, "")


def test_the_verb_writes_maps_so_far_which_modules_are_found_in(
    toy_vae_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served([toy_vae_bundle], tmp_path / "state") as stubs, Client(stubs.address) as client:
        shell, out = Shell(stubs.address, capsys), tmp_path / "maps.npz"
        job = client.start(InfluenceTask("toy-vae", LAYER, pairs=1_000_000))
        next(state for state in client.watch(job.name) if state.progress.shards_done >= 4)
        told = shell.json("jobs", "partial", job.name, "--out", out)
        client.cancel(job.name)
        assert told["partial"]
        assert told["pairs"] >= 128
        assert len(arrays(out)["maps"]) == len(told["individual"])
        found = shell.json("modules", "--maps", out, "--k", 2)
        assert set(found["labels"]) <= {-1, 0, 1}
        assert any(each is not None for each in found["confidence"])
        code, said, _ = shell("jobs", "partial", job.name)
        assert (code, "so far (what was kept last)" in said) == (0, True)
