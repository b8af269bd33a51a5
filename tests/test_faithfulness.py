"""Faithfulness on a server, of generators whose parts may be mixed, and of those whose may not."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from _cli_shell import arrays
from benchmarks.bundles import export_module
from classifier_toys import looks_at
from graftscope.client import Client, FaithfulnessResult
from graftscope.client.errors import GraftscopeError, InputError
from torch_toys import Grouped, built

LABELS = np.array([0, 0, 1, 1])
PAIRS = 256
COLUMNS = [(0, 2), (2, 4), (4, 6), (6, 8)]


def halves(*, together: bool) -> nn.Module:
    """Channels 0 and 1 draw the left half and 2 and 3 the right, of the same latents or others."""
    made = built(Grouped)
    fc = cast(nn.Linear, made.fc)
    ends = cast(nn.Conv1d, made.halves)
    with torch.no_grad():
        weight = fc.weight.view(2, 32, 8)  # half, its values, latent
        if together:
            weight[1] = weight[0]
            fc.bias.view(2, 32)[1] = fc.bias.view(2, 32)[0]
            ends.weight[3:] = ends.weight[:3]
            assert ends.bias is not None
            ends.bias[3:] = ends.bias[:3]
        else:
            weight[0, :, 4:] = 0
            weight[1, :, :4] = 0
    return made


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("halves")
    for name, together in (("apart", False), ("together", True)):
        export_module(halves(together=together), {"z": torch.zeros(2, 8)}, folder / name)
    with Client(bundles=[folder], state=tmp_path_factory.mktemp("state"), workers=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "colours.onnx"
    path.write_bytes(looks_at(COLUMNS))
    return path


@pytest.fixture(scope="module")
def apart(client: Client, features: Path) -> FaithfulnessResult:
    return client.faithfulness("apart", "fc", LABELS, features=features, pairs=PAIRS)


@pytest.fixture(scope="module")
def together(client: Client, features: Path) -> FaithfulnessResult:
    return client.faithfulness("together", "fc", LABELS, features=features, pairs=PAIRS)


def test_parts_that_are_independent_may_be_mixed(apart: FaithfulnessResult) -> None:
    modules = apart.places("module")
    assert (np.abs(apart.excess[0, modules]) < 3 * apart.excess_stderr[0, modules]).all()
    assert (np.abs(apart.kernel[0, modules]) < 3 * apart.kernel_stderr[0, modules]).all()
    floor = apart.precision[0, apart.places("floor")[0]]
    np.testing.assert_allclose(apart.precision[0, modules], floor, atol=0.06)
    assert (apart.judged >= 0).all()


def test_parts_that_have_to_match_may_not(together: FaithfulnessResult) -> None:
    modules, floor = together.places("module"), together.places("floor")[0]
    assert (together.excess[0, modules] > 5 * together.excess_stderr[0, modules]).all()
    assert (together.precision[0, modules] < 0.7 * together.precision[0, floor]).all()
    assert (together.density[0, modules] < 0.5 * together.density[0, floor]).all()


def test_all_channels_give_original_2_which_is_a_sample(together: FaithfulnessResult) -> None:
    (layer,) = together.places("layer")
    assert abs(together.excess[0, layer]) < 3 * together.excess_stderr[0, layer]


def test_pasting_halves_is_what_a_module_does_that_draws_a_half(
    together: FaithfulnessResult,
) -> None:
    # Module 1 draws the right half, which is what is pasted.
    (pasted,), module = together.places("pasted", -1), together.places("module", 1)[0]
    assert together.frechet[0, pasted] == pytest.approx(together.frechet[0, module], rel=1e-4)


def test_controls_are_of_the_module_and_of_its_size(together: FaithfulnessResult) -> None:
    for module in (0, 1):
        places = together.places("count", module)
        assert len(places) == 4
        assert together.channels[places].tolist() == [2] * 4
    mean, stderr = together.of_controls("frechet", "count", 0)
    assert mean == pytest.approx(together.frechet[0, together.places("count", 0)].mean())
    assert stderr > 0
    own = together.frechet[0, together.places("module", 0)[0]]
    assert together.verdict[0, 0, 0] == pytest.approx(own - mean)


def test_real_images_influence_and_templates_add_what_they_are_for(
    client: Client, features: Path, tmp_path: Path
) -> None:
    data = np.random.default_rng(0).integers(0, 8, (80, 4, 8, 3), dtype=np.uint8)
    templates = np.zeros((2, 2, 4))
    templates[0, :, :2] = templates[1, :, 2:] = 1
    found = client.faithfulness(
        *("together", "fc", LABELS),
        individual=np.array([0.1, 0.1, 0.1, 0.1]),
        templates=templates,
        data=data,
        features=features,
        pairs=64,
        controls=2,
    )
    assert found.references == ("samples", "data")
    assert found.against == ("count", "influence")
    assert found.images == 64
    assert found.frechet.shape == (2, len(found.kinds))
    assert found.verdict.shape == (2, 2, 2)
    assert found.frechet[1].min() > 5 * found.frechet[0].max()
    half, right = found.places("pasted", -1)[0], found.places("pasted", 1)[0]
    assert found.frechet[0, right] == pytest.approx(found.frechet[0, half])
    assert found.warning == ""
    found.save(tmp_path / "found.npz")
    assert FaithfulnessResult.load(tmp_path / "found.npz") == found
    assert set(arrays(tmp_path / "found.npz")) >= {"kinds", "frechet", "verdict_stderr"}
    assert len(found.columns()["kind"]) == 2 * len(found.kinds)


def test_what_cannot_be_measured_is_refused(client: Client, features: Path) -> None:
    given = ("apart", "fc", LABELS)
    with pytest.raises(InputError, match="pairs 63"):
        client.faithfulness(*given, pairs=63)
    with pytest.raises(GraftscopeError, match="no network for images of model 'apart'"):
        client.faithfulness(*given, pairs=64)
    with pytest.raises(GraftscopeError, match=r"individual has shape \(2,\)"):
        client.faithfulness(*given, features=features, individual=np.ones(2), pairs=64)
    data = np.zeros((10, 4, 8, 3), np.uint8)
    with pytest.raises(GraftscopeError, match=r"at least 64 images"):
        client.faithfulness(*given, features=features, data=data, pairs=64)
