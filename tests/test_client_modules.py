"""Facts about modules as objects: their channels, what is known of them, the client they know."""

import pickle
from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pytest

from _cli_shell import Shell
from graftscope.client import (
    AsyncClient,
    Client,
    Constant,
    Edit,
    HybridResult,
    InfluenceResult,
    Intervention,
    ModulesResult,
    Rectangle,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.values import Grafts, HybridsTask
from server_toys import served

MODEL, LAYER, TRUE_K = "toy-bumps", "fc", 4
PAIRS: dict[str, Any] = {"pairs": 3, "seed": 7}


@pytest.fixture(scope="module")
def client(bumps_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with served([bumps_bundle], tmp_path_factory.mktemp("bumps")) as stubs:
        with Client(stubs.address) as found:
            yield found


@pytest.fixture(scope="module")
def maps(client: Client) -> InfluenceResult:
    return client.influence(MODEL, LAYER, pairs=160, seed=1)


@pytest.fixture(scope="module")
def modules(client: Client, maps: InfluenceResult) -> ModulesResult:
    return client.modules(maps, TRUE_K)


def test_modules_are_a_list_of_objects_that_part_the_channels(
    client: Client, modules: ModulesResult
) -> None:
    assert len(modules) == modules.k == TRUE_K
    assert [module.index for module in modules] == list(range(TRUE_K))
    several = [channel for module in modules for channel in module.channels]
    assert sorted(several) == list(range(client.model(MODEL).layer(LAYER).channels))
    for module in modules:
        assert module.channels == tuple(np.flatnonzero(modules.labels == module.index))
        assert module.channels == modules.members(module.index)
        assert module.size == len(module.channels)
        np.testing.assert_array_equal(module.template, modules.templates[module.index])
        np.testing.assert_array_equal(module.confidence, modules.confidence[list(module.channels)])
    assert_type(modules[0].hybridize(pairs=1), HybridResult)
    assert modules[-1] == modules[TRUE_K - 1] == modules[2:][1]
    with pytest.raises(InputError, match="module 4 is not allowed: it must be from -4 to 3"):
        modules[TRUE_K]


def test_influence_is_the_mean_of_the_channels_own(
    maps: InfluenceResult, modules: ModulesResult
) -> None:
    for module in modules:
        of = list(module.channels)
        assert module.influence == pytest.approx(maps.individual[of].mean())
        assert module.influence_stderr == pytest.approx(maps.individual_stderr[of].mean())
        assert module.influence_share == pytest.approx(module.influence / maps.range_width)
        assert f"{module.influence_share:.2%}" in repr(module)


@pytest.mark.soak
def test_the_error_is_an_upper_bound_of_that_of_the_mean(
    client: Client, modules: ModulesResult
) -> None:
    of = list(modules[0].channels)
    runs = [
        client.influence(MODEL, LAYER, of, pairs=160, seed=seed).individual.mean()
        for seed in range(2, 14)
    ]
    # Twelve runs know their own spread to a fifth.
    assert np.std(runs, ddof=1) < 1.5 * modules[0].influence_stderr


def test_a_module_grafts_what_its_labels_do(client: Client, modules: ModulesResult) -> None:
    for module in modules:
        expected = client.hybridize(
            MODEL, LAYER, labels=modules.labels, module=module.index, **PAIRS
        )
        made = module.hybridize(**PAIRS)
        np.testing.assert_array_equal(made.hybrid, expected.hybrid)
        given = client.hybridize(MODEL, LAYER, module, **PAIRS)
        np.testing.assert_array_equal(given.hybrid, expected.hybrid)
        strip = module.strip(strengths=[0, 1], **PAIRS)
        np.testing.assert_array_equal(strip.images[0], expected.original1)
        np.testing.assert_array_equal(strip.images[1], expected.hybrid)
        assert module.hook().endswith(f"module_{module.index} = {list(module.channels)}")


def test_all_modules_together_are_original_2(client: Client, modules: ModulesResult) -> None:
    made = client.hybridize(MODEL, LAYER, [*modules], **PAIRS)
    np.testing.assert_array_equal(made.hybrid, made.original2)
    two = client.hybridize(MODEL, LAYER, modules[:2], **PAIRS)
    by_labels = client.hybridize(MODEL, LAYER, labels=modules.labels, modules=[0, 1], **PAIRS)
    np.testing.assert_array_equal(two.hybrid, by_labels.hybrid)


def test_another_action_and_a_mask_are_those_of_the_edit(
    client: Client, modules: ModulesResult
) -> None:
    action, mask = Constant(0.5), Rectangle(0, 0, 1, 1)
    edit = Edit(LAYER, modules[1].channels, action=action, mask=mask)
    assert modules[1].edit(action, mask) == edit
    assert modules[1].intervention(action, mask) == Intervention([edit])
    expected = client.hybridize(
        MODEL, intervention=Intervention([Edit(LAYER, edit.channels, action=action)]), **PAIRS
    )
    made = modules[1].hybridize(action=action, **PAIRS)
    np.testing.assert_array_equal(made.hybrid, expected.hybrid)


def test_channels_of_some_maps_keep_their_numbers(client: Client) -> None:
    chosen = [2, 3, 6, 11, 14, 15]
    some = client.influence(MODEL, LAYER, chosen, pairs=160, seed=1)
    for found in (client.modules(some, 2), client.modules(some.operation, 2)):
        several = sorted(channel for module in found for channel in module.channels)
        assert several == chosen
        assert found.columns()["channel"].tolist() == chosen
        assert {each.channel for each in found.between(rival=0.0)} == set(chosen)
        np.testing.assert_array_equal(found.individual, some.individual)
        module = found[0]
        made = client.hybridize(MODEL, LAYER, module.channels, **PAIRS)
        np.testing.assert_array_equal(module.hybridize(**PAIRS).hybrid, made.hybrid)


def test_verbs_name_channels_by_their_numbers(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell, maps, found = Shell(client.address, capsys), tmp_path / "maps.npz", tmp_path / "m.npz"
    shell("influence", "--layer", LAYER, "--channels", "2,3,6,11", "--pairs", 160, "--out", maps)
    code, told, _ = shell("modules", "--maps", maps, "--k", 2, "--out", found)
    rows = [line.split()[4:] for line in told.splitlines()[2:4]]
    assert code == 0
    assert sorted(int(channel) for row in rows for channel in row) == [2, 3, 6, 11]
    module = ModulesResult.load(found)[0]
    shell("hybridize", "--modules", found, "--module", 0, "--pairs", 2, "--out", maps)
    made = HybridResult.load(maps).hybrid
    np.testing.assert_array_equal(made, module.hybridize(client=client, pairs=2).hybrid)
    shell("influence", "--modules", found, "--pairs", 2, "--out", maps)
    assert InfluenceResult.load(maps).channels.tolist() == [0, 1]


def test_a_file_holds_all_but_the_client(
    client: Client, modules: ModulesResult, tmp_path: Path
) -> None:
    modules.save(tmp_path / "modules.npz")
    loaded = ModulesResult.load(tmp_path / "modules.npz")
    assert loaded == modules
    assert list(loaded) == list(modules)
    with pytest.raises(UsageError, match=r"module 1 has no client.*as in client=Client\(\)"):
        loaded[1].hybridize(**PAIRS)
    expected = modules[1].hybridize(**PAIRS).hybrid
    np.testing.assert_array_equal(loaded[1].hybridize(client=client, **PAIRS).hybrid, expected)
    assert loaded[1].hook(client) == modules[1].hook()


def test_copies_know_the_client_and_pickles_do_not(modules: ModulesResult) -> None:
    for other in (copy(modules), deepcopy(modules), deepcopy(modules[0]), copy(modules[0])):
        module = other[0] if isinstance(other, ModulesResult) else other
        assert module.hybridize(**PAIRS).hybrid.shape[0] == PAIRS["pairs"]
    back = pickle.loads(pickle.dumps(modules))
    assert back == modules
    with pytest.raises(UsageError, match="module 0 has no client"):
        back[0].strip()


def test_files_that_do_not_name_channels_are_checked_by_how_many_there_are(
    client: Client,
) -> None:
    found = client.modules(client.influence(MODEL, LAYER, [2, 3, 6, 11], pairs=32), 2)
    older = replace(found, channels=None)
    assert sorted(sum((module.channels for module in older), ())) == [0, 1, 2, 3]
    with pytest.raises(InputError, match="a mask or labels of 4 channels do not fit layer 'fc'"):
        older[0].hybridize(client=client)


def test_what_has_no_layer_says_so(client: Client, maps: InfluenceResult) -> None:
    plain = client.modules(maps.maps, TRUE_K)
    with pytest.raises(UsageError, match="module 0 does not know its layer"):
        plain[0].hybridize()
    assert np.isnan(plain[0].influence)


def test_modules_fit_their_own_layer_model_and_version(
    client: Client, modules: ModulesResult
) -> None:
    with pytest.raises(InputError, match=r"the modules are of layer fc .* do not fit layer"):
        client.hybridize(MODEL, "z", modules[0])
    for wrong in (3, Client):
        with pytest.raises(InputError, match="is no Client or AsyncClient"):
            modules[0].hybridize(client=wrong)  # type: ignore[call-overload]


def test_results_that_are_read_know_the_client(client: Client, modules: ModulesResult) -> None:
    for found in (client.result(modules.operation), client.wait(modules.operation)):
        assert isinstance(found, ModulesResult)
        assert found[0].channels == modules[0].channels
        assert isinstance(found._held.client, Grafts)


async def test_an_asynchronous_client_gives_what_is_awaited(
    client: Client, maps: InfluenceResult, modules: ModulesResult, tmp_path: Path
) -> None:
    expected = modules[0].hybridize(**PAIRS).hybrid
    modules.save(tmp_path / "modules.npz")
    async with AsyncClient(client.address) as other:
        found = await other.modules(maps, TRUE_K)
        assert found == modules
        np.testing.assert_array_equal((await found[0].hybridize(**PAIRS)).hybrid, expected)
        strip = await found[0].strip(strengths=[1], **PAIRS)
        np.testing.assert_array_equal(strip.images[0], expected)
        assert await found[0].hook() == modules[0].hook()
        loaded = ModulesResult.load(tmp_path / "modules.npz")[0]
        made = await loaded.hybridize(client=other, **PAIRS)
        np.testing.assert_array_equal(made.hybrid, expected)
        assert_type(await found[0].hybridize(pairs=1), HybridResult)
        read = await other.result(found.operation)
        assert isinstance(read, ModulesResult)


def test_a_client_that_is_closed_is_told_of(client: Client, maps: InfluenceResult) -> None:
    with Client(client.address) as other:
        found = other.modules(maps, TRUE_K)
    with pytest.raises(UsageError, match="the client is closed"):
        found[0].hybridize()


def test_a_task_of_a_module_insists_on_its_version(modules: ModulesResult) -> None:
    class Keeping:
        task: HybridsTask

        def _hybrids(self, task: HybridsTask) -> None:
            self.task = task

        _strips = torch_code = _hybrids

    keeping = Keeping()
    modules[0].hybridize(client=keeping)  # type: ignore[call-overload]
    assert modules.source is not None
    assert keeping.task.model == f"{MODEL}@{modules.source.model_digest}"
