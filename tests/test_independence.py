"""Facts about `independence` on a real server: what it finds is what numpy finds in hybrids."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from _cli_shell import Shell, arrays
from apart_toys import write_everywhere, write_product
from graftscope.client import Client, IndependenceResult, IndependenceTask, JobKind, spill
from graftscope.client.errors import GraftscopeError, InputError
from torch_toys import BUMP_GROUPS, BUMP_SIDE

PAIRS = 64
ROUNDING = 1e-5
HALF = BUMP_SIDE // 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("apart")


@pytest.fixture(scope="module")
def client(bumps_bundle: Path, folder: Path) -> Iterator[Client]:
    product, _ = write_product(folder / "product")
    bundles = [bumps_bundle, product, write_everywhere(folder / "everywhere")]
    with Client(bundles=bundles, state=folder / "state") as opened:
        yield opened


@pytest.fixture
def address(client: Client) -> str:
    return client.address


def looking(folder: Path, *shape: int) -> Path:
    """A network of four random features of images of a shape."""
    path = folder / f"looks{'x'.join(map(str, shape))}.onnx"
    size = int(np.prod(shape))
    extents = ", ".join(map(str, shape))
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": 17]>
        looks (float[batch, {extents}] image) => (float[batch, 4] features)
        {{ flat = Flatten<axis = 1>(image) features = MatMul(flat, w) }}
    """)
    weights = np.random.default_rng(0).standard_normal((size, 4)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(model, path)
    return path


def quarters() -> NDArray[np.float64]:
    templates = np.zeros((4, BUMP_SIDE, BUMP_SIDE))
    for group in range(4):
        row, column = (HALF * x for x in divmod(group, 2))
        templates[group, row : row + HALF, column : column + HALF] = 1.0
    return templates


@pytest.fixture(scope="module")
def bumps(client: Client, folder: Path) -> IndependenceResult:
    return client.independence(
        "toy-bumps",
        "fc",
        np.array(BUMP_GROUPS),
        templates=quarters(),
        features=looking(folder, 3, BUMP_SIDE, BUMP_SIDE),
        pairs=256,
    )


def test_quarters_neither_interact_nor_spill_and_their_mixture_is_real(
    bumps: IndependenceResult,
) -> None:
    assert np.nanmax(bumps.interaction) < ROUNDING
    np.testing.assert_allclose(bumps.spill, 0.0, atol=ROUNDING)
    np.testing.assert_array_equal(bumps.area_outside, 0.75)
    assert bumps.measures[0] == "frechet"
    for name in ("over_donor", "over_floor"):
        found, stderr = getattr(bumps, name)[0], getattr(bumps, f"{name}_stderr")[0]
        assert abs(found) < 4 * stderr
    assert bumps.kinds == ("mixture", "donor", *["module"] * 4, "floor")
    assert (bumps.pairs, bumps.layer, bumps.model) == (256, "fc", "toy-bumps")
    assert bumps.upper == ("z", "fc")
    assert bumps.lower == ("fc", "image")
    assert all(bumps.absent)  # No map of more than a pixel is between latents and image.


def test_a_result_comes_back_from_its_file_and_is_a_table(
    bumps: IndependenceResult, tmp_path: Path
) -> None:
    bumps.save(tmp_path / "apart.npz")
    assert IndependenceResult.load(tmp_path / "apart.npz") == bumps
    assert len(bumps.columns()["interaction"]) == 6
    held = arrays(tmp_path / "apart.npz")
    assert held["interaction_maps"].shape == (6, BUMP_SIDE, BUMP_SIDE)
    assert held["lower"].tolist() == ["fc", "image"]


def test_an_interaction_is_that_of_hybrids_one_by_one(client: Client, folder: Path) -> None:
    labels = np.array([0, 0, 1, 1])
    found = client.independence(
        "product", "fc", labels, features=looking(folder, 3, 4, 4), pairs=PAIRS
    )
    made = [
        client.hybridize("product", "fc", channels, pairs=PAIRS)
        for channels in ([0, 1], [2, 3], [0, 1, 2, 3])
    ]
    one, other, both = (x.hybrid.astype(np.float64) for x in made)
    original1 = made[0].original1.astype(np.float64)
    left = np.abs(both - one - other + original1)
    expected = left.sum() / np.abs(both - original1).sum()
    assert expected > 0.1
    assert found.interaction[0, 1] == pytest.approx(expected, rel=1e-4)
    assert 0 < found.interaction_stderr[0, 1] < 0.5 * expected
    np.testing.assert_allclose(found.interaction_maps[0], left.mean(axis=(0, 1)), atol=1e-6)


def test_spill_is_that_of_hybrids_outside_of_the_template(client: Client, folder: Path) -> None:
    templates = np.arange(2 * 32, dtype=float).reshape(2, 4, 8)
    found = client.independence(
        "everywhere",
        "fc",
        np.array([0, 1]),
        templates=templates,
        features=looking(folder, 3, 4, 8),
        pairs=PAIRS,
        percentile=60.0,
    )
    for module in range(2):
        made = client.hybridize("everywhere", "fc", [module], pairs=PAIRS)
        inside = templates[module] > np.percentile(templates[module], 60.0)
        expected = spill(made.original1, made.hybrid, inside)
        assert found.spill[module] == pytest.approx(expected.share, rel=1e-5)
        assert found.spill_stderr[module] == pytest.approx(expected.stderr, abs=1e-6)
        assert found.area_outside[module] == expected.area
    # What changes the same everywhere spills as much as lies outside.
    assert found.spill[0] == pytest.approx(found.area_outside[0], abs=1e-5)


def test_the_command_tells_four_tables_a_document_and_a_file(
    shell: Shell, folder: Path, tmp_path: Path, bumps: IndependenceResult
) -> None:
    modules, out = tmp_path / "modules.npz", tmp_path / "apart.npz"
    np.savez(modules, labels=np.array(BUMP_GROUPS), templates=quarters())
    features = looking(folder, 3, BUMP_SIDE, BUMP_SIDE)
    place = ("--model", "toy-bumps", "--layer", "fc", "--modules", modules)
    asked = ("independence", *place, "--features", features, "--pairs", 256)
    told = shell.json(*asked, "--out", out)
    np.testing.assert_array_equal(told["spill"], bumps.spill)
    assert told["interaction"][0][0] is None
    assert told["over_donor"] == bumps.over_donor.tolist()
    assert IndependenceResult.load(out).interaction.shape == (4, 4)
    code, text, _ = shell(*asked)
    assert code == 0
    for said in ("each module from another donor", "interaction, %", "spill, %", "fc -> image"):
        assert said in text
    assert "Mixtures are not told apart from hybrids of one donor" in text
    estimate = shell.json(*asked, "--seed", 8, "--dry-run")
    assert "estimate" in json.dumps(estimate)


def test_modules_are_found_first_where_none_are_given(shell: Shell, folder: Path) -> None:
    asked = ("independence", "--model", "toy-bumps", "--layer", "fc", "--k", 4, "--pairs", 64)
    told = shell.json(*asked, "--features", looking(folder, 3, BUMP_SIDE, BUMP_SIDE))
    assert sorted(told["channels"]) == [6, 6, 6, 6]
    others = [x for row in told["interaction"] for x in row if x is not None]
    assert max(others) < ROUNDING


def test_progress_reaches_the_end_and_an_answer_is_kept(client: Client, folder: Path) -> None:
    features = looking(folder, 3, 4, 4)
    task = IndependenceTask(
        "product", "fc", np.array([0, 0, 1, 1]), features=features, pairs=PAIRS, seed=4
    )
    assert client.estimate(task).hybrids == PAIRS * (2 + 2 + 1) + PAIRS // 2 * 2
    job = client.start(task)
    assert job.kind is JobKind.INDEPENDENCE
    heard: list[Any] = []
    first = client.wait(job.name, on_progress=heard.append)
    done = client.job(job.name)
    assert done.progress.shards_done == done.progress.shards_total > 0
    assert client.start(task).name == job.name
    assert isinstance(first, IndependenceResult)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pairs": 63}, "64"),
        ({"percentile": 100.0}, "percentile"),
        ({"labels": np.full(4, -1)}, "a module from 0 for some channel"),
        ({"labels": np.zeros(3, int)}, "4"),
        ({"templates": np.ones((1, 4, 4))}, "of 2 modules"),
        ({"templates": np.ones((2, 3, 5))}, "image of 4"),
        ({"templates": np.full((2, 4, 4), np.nan)}, "finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    client: Client, folder: Path, changed: dict[str, Any], said: str
) -> None:
    usual = {"labels": np.array([0, 0, 1, 1]), "features": looking(folder, 3, 4, 4), "pairs": 64}
    with pytest.raises((InputError, GraftscopeError), match=said):
        client.independence("product", "fc", **{**usual, **changed})
