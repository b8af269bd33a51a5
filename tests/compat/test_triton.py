"""A model repository that `export --triton` wrote, served by a real Triton, asked by its client.

Triton's ensembles run the halves and the splice; what they give is compared with what our client
gets from our own server.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from compat._triton_server import triton_environment, triton_server
from graftscope.bundle import find_shipped, read_bundle
from graftscope.client import Client, LatentPairs
from graftscope.exporter import export
from graftscope.exporter._samples import draw_latents
from graftscope.exporter.triton import TritonRepository, export_triton
from graftscope.v1 import bundle_pb2
from onnx_cases import CLASSES, LOOKED_UP, save
from onnx_toys import REUSED_LATENT

pytestmark = [pytest.mark.compat, pytest.mark.timeout(900)]

TOLERANCE = 1e-6
"""Of images between -1 and 1; both run the same graphs in ONNX Runtime."""
PAIRS = 3
LAYERS = {"vae-celeba": ["fc", "deconv2"], "gan-cifar10": ["fc"], "noisy": [], "labelled": []}

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Served:
    """What Triton answered.

    Attributes:
        bundles: the bundles by name.
        written: what was exported, likewise.
        models: what it says of each model.
        folder: where its answers lie.
    """

    bundles: dict[str, Path]
    written: dict[str, TritonRepository]
    models: dict[str, dict[str, Any]]
    folder: Path

    def made(self, request: str) -> Arrays:
        with np.load(self.folder / f"{request}.made.npz") as file:
            return dict(file)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two that ship; one whose cuts carry a latent and noise; one with a label of one number."""
    folder = tmp_path_factory.mktemp("bundles")
    export(save(folder / "noisy.onnx", REUSED_LATENT), folder / "noisy")
    export(save(folder / "labelled.onnx", LOOKED_UP, **CLASSES), folder / "labelled")
    own = {name: folder / name for name in ("noisy", "labelled")}
    return {name: find_shipped(name) for name in ("vae-celeba", "gan-cifar10")} | own


@pytest.fixture(scope="module")
def served(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Served:
    home = triton_environment()
    folder = tmp_path_factory.mktemp("triton")
    repository, answers = folder / "models", folder / "answers"
    answers.mkdir()
    written = {
        name: export_triton(bundle, repository, layers=LAYERS[name])
        for name, bundle in bundles.items()
    }
    for name, each in written.items():
        put_requests(answers, name, each, bundles[name])
    before = contents(repository)
    with triton_server(home, repository, folder) as address:
        script = Path(__file__).with_name("triton_questions.py")
        asked = [str(x) for x in (home.python, script, address, answers, repository)]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    assert contents(repository) == before
    models = json.loads((answers / "models.json").read_text())
    return Served(bundles, written, models, answers)


def test_every_model_is_ready_as_it_is_written(served: Served) -> None:
    names = [name for each in served.written.values() for name in each.models]
    assert sorted(served.models) == sorted(names)
    for name, told in served.models.items():
        assert (told["ready"], told["versions"], told["as_written"]) == (True, ["1"], True), name


def test_the_metadata_are_those_of_the_graphs(served: Served) -> None:
    for name, bundle in served.bundles.items():
        manifest = read_bundle(bundle).manifest
        own = [[each.name, each.datatype, [-1, *each.shape]] for each in manifest.inputs]
        image = [-1, manifest.image.channels, manifest.image.height, manifest.image.width]
        assert sorted(served.models[name]["inputs"]) == sorted(own)
        assert [end[1:] for end in served.models[name]["outputs"]] == [["FP32", image]]
        for layer in layers_of(served.written[name]):
            told = served.models[f"{name}.{layer.name}.hybrid"]
            both = [[f"{x}{i}", kind, shape] for x, kind, shape in own for i in (1, 2)]
            channels = ["channels", "BOOL", [-1, layer.channels]]
            assert sorted(told["inputs"]) == sorted([*both, channels])
            assert told["outputs"] == [["hybrid", "FP32", image]]


@pytest.mark.parametrize("name", LAYERS)
def test_hybrids_are_those_of_our_client(
    served: Served, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every pair with channels of its own, which our client is asked for one by one."""
    first, second = latents(served.bundles[name])
    with Client(bundles=[served.bundles[name]], state=tmp_path) as client:
        images = client.generate(name, latents=first).images
        apart = {"generator": distance(served.made(name)["image"], images)}
        for layer in layers_of(served.written[name]):
            made = served.made(f"{name}.{layer.name}.hybrid")
            for pair, channels in enumerate(sets(layer.channels)):
                one = LatentPairs(*({x: v[[pair]] for x, v in y.items()} for y in (first, second)))
                ours = client.hybridize(name, layer.name, np.flatnonzero(channels), originals=one)
                found = distance(made["hybrid"][[pair]], ours.hybrid)
                apart[layer.name] = max(apart.get(layer.name, 0.0), found)
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: largest difference from our client, by layer: {apart}\n")
    assert max(apart.values()) <= TOLERANCE


@pytest.mark.parametrize("name", LAYERS)
def test_a_hybrid_that_takes_no_channel_is_original_1(served: Served, name: str) -> None:
    for layer in layers_of(served.written[name]):
        none = served.made(f"{name}.{layer.name}.hybrid,none")["hybrid"]
        assert distance(none, served.made(name)["image"]) <= TOLERANCE


def test_a_request_of_more_samples_than_allowed_is_refused(served: Served) -> None:
    refused = (served.folder / "vae-celeba,many.refused.txt").read_text()
    assert "batch-size must be <= 64" in refused


def put_requests(folder: Path, name: str, repository: TritonRepository, bundle: Path) -> None:
    """One file of inputs for each, the model's name before the comma."""
    first, second = latents(bundle)
    save_arrays(folder / f"{name}.npz", first)
    both = {f"{x}1": array for x, array in first.items()}
    both |= {f"{x}2": array for x, array in second.items()}
    for layer in layers_of(repository):
        hybrid = f"{name}.{layer.name}.hybrid"
        chosen = sets(layer.channels)
        for request, channels in ((hybrid, chosen), (f"{hybrid},none", np.zeros_like(chosen))):
            save_arrays(folder / f"{request}.npz", {**both, "channels": channels})
    if repository.max_batch:
        many = {x: np.repeat(array, 30, axis=0) for x, array in first.items()}
        save_arrays(folder / f"{name},many.npz", many)


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write a request's inputs."""
    np.savez(path, allow_pickle=False, **arrays)


def layers_of(repository: TritonRepository) -> list[bundle_pb2.Layer]:
    """Those that were exported."""
    manifest = repository.manifest
    return [x for x in manifest.layers if f"{manifest.name}.{x.name}.hybrid" in repository.models]


def latents(bundle: Path) -> tuple[Arrays, Arrays]:
    """Two originals of every pair."""
    inputs = read_bundle(bundle).manifest.inputs
    first, second = (draw_latents(inputs, {}, PAIRS, seed=seed) for seed in (5, 6))
    return first, second


def sets(channels: int) -> NDArray[np.bool_]:
    """Which channels each pair takes."""
    return np.random.default_rng(7).random((PAIRS, channels)) < 0.5


def distance(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """The largest difference."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())


def contents(repository: Path) -> dict[str, str]:
    """What the files hold, by their paths."""
    return {
        str(path.relative_to(repository)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(repository.rglob("*"))
        if path.is_file()
    }
