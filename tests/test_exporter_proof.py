"""Facts about the proof that ends an export."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from benchmarks.bundles import export_module
from graftscope.bundle import Originals, manifest_from_json, read_bundle
from graftscope.exporter import ProofError
from graftscope.exporter._proof import BATCHES, Proof, prove_splicing
from graftscope.exporter._samples import draw_latents
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter.sources._checkpoint import EncoderModule
from graftscope.exporter.sources._trace import reference
from torch_toys import small_encoder, small_generator

ORIGINALS = Originals(np.zeros(8), np.eye(8))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "small"
    encoder = EncoderModule(small_encoder(), ORIGINALS)
    export_module(small_generator(), {"z": torch.zeros(2, 8)}, out, encoder=encoder)
    return out


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """Return a copy of a bundle that a test may spoil."""
    shutil.copytree(exported, tmp_path / "small")
    return tmp_path / "small"


def prove(folder: Path, *, generator_seed: int = 0, encoder_seed: int = 1) -> int:
    """Prove a bundle anew, however it was spoilt; return how often progress was reported."""
    manifest = manifest_from_json((folder / "manifest.json").read_text())
    generator = reference(small_generator(generator_seed))
    encoder = reference(small_encoder(encoder_seed))
    reports: list[None] = []
    proof = Proof(folder, manifest, generator, encoder)
    proof.run(lambda: reports.append(None))
    assert len(reports) == proof.steps
    return len(reports)


def change_operation(path: Path, old: str, new: str) -> None:
    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        node.op_type = new if node.op_type == old else node.op_type
    path.write_bytes(model.SerializeToString())


def test_what_was_exported_is_proved(exported: Path) -> None:
    layers = 5  # the latent is one
    assert prove(exported) == 2 * (1 + layers)


def test_a_half_that_computes_something_else_is_named_with_the_difference(folder: Path) -> None:
    change_operation(folder / "deconv1.downstream.onnx", "Tanh", "Sin")
    message = (
        r"^layer 'deconv1': downstream after upstream, against the whole generator \(batch 1, "
        r"optimisations off\), is off by 0\.\d+; allowed: 0$"
    )
    with pytest.raises(ProofError, match=message):
        prove(folder)


def test_a_generator_that_is_not_pytorchs_is_refused(folder: Path) -> None:
    with pytest.raises(ProofError, match=r"batch of 1, against its source's is off by .*: 2e-05$"):
        prove(folder, generator_seed=5)


def test_an_encoder_that_is_not_pytorchs_is_refused(folder: Path) -> None:
    with pytest.raises(ProofError, match=r"^the encoder's mean \(batch 1\) is off by"):
        prove(folder, encoder_seed=5)


def test_a_graph_that_is_not_valid_is_named(folder: Path) -> None:
    change_operation(folder / "fc.upstream.onnx", "Relu", "Conv")
    with pytest.raises(ProofError, match=r"^fc\.upstream\.onnx is no valid ONNX graph"):
        prove(folder)


def test_a_file_that_is_no_graph_is_named(folder: Path) -> None:
    (folder / "encoder.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ProofError, match=r"^encoder\.onnx is no valid ONNX graph"):
        prove(folder)


def test_weights_that_are_cut_short_are_noticed(folder: Path) -> None:
    path = folder / "weights.bin"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ProofError):
        prove(folder)


def test_latents_are_the_same_every_time_and_no_batch_is_too_large(exported: Path) -> None:
    manifest = read_bundle(exported).manifest
    first, second = (draw_latents(manifest.inputs, {}, max(BATCHES))["z"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (3, 8)
    assert first.dtype == np.float32


def test_a_graph_that_takes_one_batch_alone_is_refused_with_the_shapes(folder: Path) -> None:
    model = onnx.load(folder / "generator.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT64:
            shape = np.array([2, *onnx.numpy_helper.to_array(tensor)[1:]])
            tensor.CopyFrom(onnx.numpy_helper.from_array(shape, tensor.name))
    (folder / "generator.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ProofError, match=r"cannot run generator\.onnx with 'z' \(1, 8\): "):
        prove(folder)


def test_a_bundle_that_cannot_be_spliced_is_refused_with_the_layer(folder: Path) -> None:
    for path in folder.glob("*.onnx"):
        model = onnx.load(path, load_external_data=False)
        (opset,) = model.opset_import
        opset.version = 17
        path.write_bytes(model.SerializeToString())
    with pytest.raises(ProofError, match=r"^layer 'z' cannot be spliced: .* opset 17; "):
        prove(folder)


def test_splicing_nothing_must_give_original_1(exported: Path) -> None:
    manifest = read_bundle(exported).manifest
    layer = manifest.layers[1]
    upstream = CpuSession(exported / layer.upstream, optimised=True)
    crossing = upstream.run(draw_latents(manifest.inputs, {}, 3))
    image = manifest.image
    wrong = np.zeros((3, image.channels, image.height, image.width), np.float32)
    message = r"^layer 'fc': splicing no channel, against original 1 \(batch 3\), is off by 0\.\d+"
    with pytest.raises(ProofError, match=message):
        prove_splicing(exported, layer, crossing, wrong, 1e-5)


def test_an_expensive_generator_is_proved_with_fewer_samples(exported: Path) -> None:
    manifest = read_bundle(exported).manifest
    assert Proof(exported, manifest, None, None).batches == BATCHES
    manifest.layers[0].downstream_mflop = 1e5
    assert Proof(exported, manifest, None, None).batches == (1, 2)
