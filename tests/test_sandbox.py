"""Models that were not made here are opened in a child first, and what may be said of them."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from bundle_toys import reseal
from graftscope.bundle import ManifestError, digest, manifest_to_json, read_bundle, shipped
from graftscope.exporter import export
from graftscope.sandbox import (
    KnownModels,
    Limits,
    ModelRefusedError,
    Reason,
    Sandbox,
    SandboxError,
    in_our_words,
    limits_from_environment,
)
from onnx_toys import CHAIN, parse
from reliability._hostile import HOSTILE, generator


class Counting(KnownModels):
    """Counts what was tried."""

    def __init__(self, folder: Path) -> None:
        super().__init__([folder])
        self.tried: list[str] = []

    def add(self, key: str) -> None:
        self.tried.append(key)
        super().add(key)


QUICK = (
    "DepthToSpace by 2^32 divides by zero",
    "functions of 2^40 nodes",
    "a Conv of 512 GiB",
    "weights of which one is NaN",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_file_is_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    crafted = next(each for each in HOSTILE if each.name == name)
    source = tmp_path / "crafted.onnx"
    source.write_bytes(crafted.make())
    with pytest.raises(ModelRefusedError) as refused:
        Sandbox(Limits(), KnownModels([])).require_file(source)
    assert refused.value.reason in crafted.reasons
    assert len(str(refused.value).splitlines()) == 1


def test_a_good_file_is_tried_once(tmp_path: Path) -> None:
    source, known = tmp_path / "good.onnx", Counting(tmp_path / "known")
    onnx.save(generator(), source)
    for _ in range(2):
        Sandbox(Limits(), known).require_file(source)
    assert len(known.tried) == 1


def test_a_bundle_is_tried_once_and_again_when_it_is_another(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    known = Counting(tmp_path / "known")
    sandbox = Sandbox(Limits(), known)
    for _ in range(2):
        sandbox.require_bundle(read_bundle(toy_vae_bundle))
    assert len(known.tried) == 1


def test_a_shipped_bundle_is_never_tried(tmp_path: Path) -> None:
    known = Counting(tmp_path / "known")
    for path in shipped().values():
        Sandbox(Limits(), known).require_bundle(read_bundle(path))
    assert known.tried == []


def test_a_bundle_that_computes_something_else_is_refused(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(toy_vae_bundle, tmp_path / "lies")
    shutil.copy(folder / "encoder.onnx", folder / "generator.onnx")
    reseal(folder)
    with pytest.raises(ModelRefusedError, match=r"'generator.onnx': .*|images of shape") as refused:
        Sandbox(Limits(), KnownModels([])).require_bundle(read_bundle(folder))
    assert refused.value.reason in (Reason.DOES_NOT_FIT, Reason.DOES_NOT_RUN)


@pytest.mark.parametrize(
    ("extent", "claimed", "error"),
    [
        ("channels", 2**31, ManifestError),
        ("channels", 2**20, ModelRefusedError),
        ("channels", 7, ModelRefusedError),
        ("height", 1, ModelRefusedError),
    ],
)
def test_a_layer_that_claims_more_than_its_graph_gives_is_refused(
    toy_vae_bundle: Path, tmp_path: Path, extent: str, claimed: int, error: type[Exception]
) -> None:
    folder = shutil.copytree(toy_vae_bundle, tmp_path / "claims")
    manifest = read_bundle(folder).manifest
    setattr(manifest.layers[1], extent, claimed)
    manifest.digest = digest(manifest)
    (folder / "manifest.json").write_text(manifest_to_json(manifest))
    with pytest.raises(error, match=r"is .*; at most|in the manifest, but holds"):
        Sandbox(Limits(), KnownModels([])).require_bundle(read_bundle(folder))


def test_a_bundle_of_whose_weights_one_is_no_number_is_refused(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(toy_vae_bundle, tmp_path / "nan")
    weights = np.fromfile(folder / "weights.bin", np.float32)
    weights[-1] = np.nan
    weights.tofile(folder / "weights.bin")
    reseal(folder)
    with pytest.raises(ModelRefusedError, match="hold NaN, which is no number") as refused:
        Sandbox(Limits(), KnownModels([])).require_bundle(read_bundle(folder))
    assert refused.value.reason == Reason.NOT_NUMBERS


def test_export_tries_a_file_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAFTSCOPE_SANDBOX")
    monkeypatch.setenv("GRAFTSCOPE_SANDBOX_NODES", "3")
    ir.save(parse(CHAIN), tmp_path / "chain.onnx")
    with pytest.raises(ModelRefusedError, match="GRAFTSCOPE_SANDBOX_NODES=3 is the limit"):
        export(tmp_path / "chain.onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_limits_scale_with_the_weights() -> None:
    limits = Limits()
    assert limits.memory_bytes(2**30) - limits.memory_bytes(0) == 4 * 2**30
    assert limits.cpu_s(2**30) > 5 * limits.cpu_s(0)


def test_a_limit_that_is_no_number_is_refused() -> None:
    assert limits_from_environment({"GRAFTSCOPE_SANDBOX_NODES": "20000"}).sandbox_nodes == 20_000
    with pytest.raises(SandboxError, match="GRAFTSCOPE_SANDBOX_NODES 'many' is not allowed"):
        limits_from_environment({"GRAFTSCOPE_SANDBOX_NODES": "many"})


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : Load model from /models/generator.onnx failed:"
            "/onnxruntime_src/onnxruntime/core/graph/model.cc:181 onnxruntime::Model::Model("
            "onnx::ModelProto&&) Unknown model file format version.",
            "Unknown model file format version.",
        ),
        (
            "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Non-zero status code returned while"
            " running Conv node. Name:'conv1' Status Message: /onnxruntime_src/a/b.cc:12 Run x"
            " was false. Input channels C is not equal to kernel channels.",
            "node 'conv1' (Conv): Input channels C is not equal to kernel channels.",
        ),
    ],
)
def test_what_onnx_runtime_says_loses_its_paths(said: str, ours: str) -> None:
    assert in_our_words(said).endswith(ours)
    assert "/" not in in_our_words(said)
