"""Facts about exports and the bundles that they write."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from benchmarks.bundles import export_module
from encoder_toys import save_encoder, save_photographs
from graftscope.bundle import Originals, read_bundle, read_originals
from graftscope.exporter import (
    ExportProgress,
    ExportStage,
    ProofError,
    SourceError,
    TargetExistsError,
    export,
)
from graftscope.exporter.sources._checkpoint import EncoderModule
from graftscope.v1 import bundle_pb2
from onnx_toys import CHAIN, parse
from torch_toys import (
    SMALL,
    BlockDiagonal,
    ReusedLatent,
    Skip,
    built,
    small_encoder,
    small_generator,
)

LATENTS = {"z": torch.zeros(2, 8)}
ORIGINALS = Originals(np.zeros(8), np.eye(8))
FILES = {
    "MODEL_CARD.md",
    "encoder.onnx",
    "generator.onnx",
    "manifest.json",
    "originals.safetensors",
    "weights.bin",
    *(f"{layer.name}.{half}.onnx" for layer in SMALL.layers for half in ("upstream", "downstream")),
}


def write_small(out: Path) -> bundle_pb2.Bundle:
    return export_module(
        small_generator(),
        LATENTS,
        out,
        levels={layer.name: layer.level for layer in SMALL.layers if layer.level},
        encoder=EncoderModule(small_encoder(), ORIGINALS),
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of Table 1's face VAE in small."""
    out = tmp_path_factory.mktemp("bundles") / "small"
    write_small(out)
    return out


def run(path: Path, **feeds: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def carried(manifest: bundle_pb2.Bundle) -> dict[str, list[str]]:
    return {layer.name: list(layer.carried) for layer in manifest.layers}


def test_the_layers_are_those_of_the_architecture_with_its_levels(small: Path) -> None:
    found = [
        (layer.name, layer.level, layer.channels, layer.height, layer.width)
        for layer in read_bundle(small).manifest.layers
    ]
    assert found == [
        ("z", "", 8, 1, 1),
        ("fc", "coarse", 8, 2, 2),
        ("deconv1", "intermediate", 6, 4, 4),
        ("deconv2", "fine", 5, 8, 8),
        ("deconv3", "image", 4, 16, 16),
    ]


def test_a_layer_feeds_the_next_stage(small: Path) -> None:
    z = torch.linspace(-2, 2, 24).reshape(3, 8)
    generator = small_generator()
    activation = z
    layers = read_bundle(small).manifest.layers[1:]
    for layer, stage in zip(layers, generator.children(), strict=False):
        activation = stage(activation)
        (found,) = run(small / layer.upstream, z=z.numpy())
        np.testing.assert_allclose(found, activation.detach().numpy(), atol=1e-5)


def test_the_folder_is_flat_and_every_file_is_listed(small: Path) -> None:
    listed = {file.name for file in read_bundle(small).manifest.files}
    assert {path.name for path in small.iterdir()} == FILES - {"MODEL_CARD.md"}
    assert listed == FILES - {"MODEL_CARD.md", "manifest.json"}


def test_inputs_and_image_are_stated(small: Path) -> None:
    manifest = read_bundle(small).manifest
    (latent,) = manifest.inputs
    assert (latent.name, latent.datatype, list(latent.shape)) == ("z", "FP32", [8])
    assert latent.WhichOneof("distribution") == "normal"
    assert manifest.image == bundle_pb2.Image(channels=3, height=16, width=16, low=-1, high=1)


@pytest.mark.parametrize("batch", [1, 3, 40])
def test_the_batch_is_free_and_the_numbers_are_pytorchs(small: Path, batch: int) -> None:
    z = np.random.default_rng(batch).standard_normal((batch, 8)).astype(np.float32)
    with torch.no_grad():
        expected = small_generator()(torch.from_numpy(z)).numpy()
    (image,) = run(small / "generator.onnx", z=z)
    np.testing.assert_allclose(image, expected, atol=2e-5)


def test_the_encoder_gives_the_posterior(small: Path) -> None:
    stated = read_bundle(small).manifest.encoder
    image = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
    with torch.no_grad():
        expected = small_encoder()(image)
    found = run(small / stated.file, **{stated.image: image.numpy()})
    for mine, given in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, given.numpy(), atol=1e-5)
    mean, covariance = read_originals(small / stated.originals)
    assert mean.shape == (8,)
    assert covariance.shape == (8, 8)


def test_weights_are_stored_once(small: Path) -> None:
    networks = (small_generator(), small_encoder())
    weights = sum(each.numel() * 4 for network in networks for each in network.parameters())
    graphs = sum(path.stat().st_size for path in small.glob("*.onnx"))
    assert (small / "weights.bin").stat().st_size < 1.02 * weights
    assert graphs < 50_000


def test_no_file_tells_where_it_was_made(small: Path) -> None:
    secrets = [str(Path(torch.__file__).parent), str(Path(__file__).parent), "pkg.torch"]
    for name, content in contents(small).items():
        assert not [secret for secret in secrets if secret.encode() in content], name


def test_another_process_in_another_folder_exports_the_same_bytes(
    small: Path, tmp_path: Path
) -> None:
    code = "import sys, test_exporter_export as t; t.write_small(t.Path(sys.argv[1]))"
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "12345"}
    command = [sys.executable, "-c", code, "small"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    assert contents(tmp_path / "small") == contents(small)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export_module(built(BlockDiagonal), LATENTS, tmp_path / "diagonal")
    assert capfd.readouterr() == ("", "")


def test_a_skip_connection_is_carried_where_it_crosses(tmp_path: Path) -> None:
    manifest = export_module(built(Skip), LATENTS, tmp_path / "skip")
    _, first, second, third, joined = manifest.layers
    assert carried(manifest) == {
        "z": [],
        first.name: [],
        second.name: [first.tensor],
        third.name: [],
        joined.name: [],
    }
    assert first.name == "fc"


def test_a_reused_latent_is_carried_by_its_name(tmp_path: Path) -> None:
    examples = {**LATENTS, "noise": torch.zeros(2, 1, 4, 4)}
    manifest = export_module(built(ReusedLatent), examples, tmp_path / "reused")
    latent, first, second = (layer for layer in manifest.layers if layer.tensor != "noise")
    assert list(latent.carried) == ["noise"]
    assert first.carried[0] == "noise"
    assert len(first.carried) == 2
    assert list(second.carried) == []
    assert [latent.name for latent in manifest.inputs] == ["z", "noise"]


@pytest.fixture
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a generator as an ONNX file, which is quickly exported."""
    path = tmp_path_factory.mktemp("sources") / "chain.onnx"
    onnx.save(ir.to_proto(parse(CHAIN)), path)
    return path


@pytest.fixture
def everything(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A source with an encoder and photographs, so that an export goes through every stage."""
    folder = tmp_path_factory.mktemp("encoder")
    save_photographs(folder / "photographs.zip", 4)
    encoder = save_encoder(folder / "encoder.onnx")
    return {"source": source, "encoder": encoder, "data": folder / "photographs.zip"}


def test_progress_names_every_stage_in_order(everything: dict[str, Any], tmp_path: Path) -> None:
    heard: list[ExportProgress] = []
    export(**everything, out=tmp_path / "out", on_progress=heard.append)
    assert list(dict.fromkeys(progress.stage for progress in heard)) == list(ExportStage)
    for stage in ExportStage:
        *_, last = (progress for progress in heard if progress.stage is stage)
        assert last.done == last.total


@pytest.mark.parametrize("stage", list(ExportStage))
def test_an_interrupted_export_leaves_nothing(
    everything: dict[str, Any], tmp_path: Path, stage: ExportStage
) -> None:
    def interrupt(progress: ExportProgress) -> None:
        if progress.stage is stage and progress.done == progress.total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(**everything, out=tmp_path / "out", on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_is_there_is_refused_and_left_alone(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").touch()
    with pytest.raises(TargetExistsError, match="out' exists already"):
        export(source, out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_bundle_is_replaced_on_request(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(source, out, name="old")
    export(source, out, overwrite=True)
    assert read_bundle(out).manifest.name == "out"
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_is_no_bundle_is_never_replaced(source: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("data")
    with pytest.raises(TargetExistsError, match=r"holds 'thesis\.txt'"):
        export(source, precious, overwrite=True)
    assert contents(precious) == {"thesis.txt": b"data"}
    assert list(tmp_path.iterdir()) == [precious]


class FixedBatch(nn.Module):
    """Takes two samples and no other number."""

    def forward(self, z: Tensor) -> Tensor:
        return z.view(2, 2, 2, 2).tanh()


class Mixing(nn.Module):
    """Every sample of a batch depends on the others."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 64)
        self.colours = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        maps = self.fc(z - z.mean(0, keepdim=True)).view(-1, 4, 4, 4).relu()
        image: Tensor = self.colours(maps).tanh()
        return image


@pytest.mark.parametrize(
    ("generator", "error", "message"),
    [
        (built(Skip).train(), SourceError, r"Skip is in training mode \(itself, fc"),
        (built(FixedBatch), SourceError, "cannot turn FixedBatch into a graph whose batch is free"),
        (built(Mixing), ProofError, "images, of a batch of 1, against those of 3 is off by"),
    ],
)
def test_a_generator_that_cannot_be_exported_is_refused_and_nothing_written(
    tmp_path: Path, generator: nn.Module, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        export_module(generator, LATENTS, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_image_outside_its_stated_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match=r"images reach from -0.* the stated range is 0 to 1"):
        export_module(built(Skip), LATENTS, tmp_path / "out", image_range=(0.0, 1.0))


def test_a_level_of_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="given for conv9, but the graph's layers are: z, fc"):
        export_module(built(Skip), LATENTS, tmp_path / "out", levels={"conv9": "fine"})


def test_a_name_that_cannot_be_a_bundles_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="name 'My Model' cannot be a bundle's; allowed: lower"):
        export(source, tmp_path / "My Model")
