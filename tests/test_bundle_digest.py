"""Facts about `graftscope.bundle.digest`."""

import hashlib
import json
from collections.abc import Callable

import pytest

from bundle_toys import toy_manifest
from graftscope.bundle import digest
from graftscope.v1 import bundle_pb2


def with_files(*files: tuple[str, str]) -> bundle_pb2.Bundle:
    manifest = toy_manifest()
    for name, sha256 in files:
        manifest.files.add(name=name, sha256=sha256)
    return manifest


def test_the_digest_is_that_of_the_documented_text() -> None:
    layer = {
        "name": "fc",
        "level": "coarse",
        "kind": "LAYER_KIND_MAP",
        "channels": 4,
        "height": 2,
        "width": 2,
        "tensor": "relu",
        "carried": ["z"],
        "upstream": "fc.upstream.onnx",
        "downstream": "fc.downstream.onnx",
    }
    encoder = {
        "file": "encoder.onnx",
        "input": "z",
        "image": "image",
        "mean": "mean",
        "log_variance": "log_variance",
        "originals": "originals.safetensors",
    }
    content = {
        "encoder": encoder,
        "files": [["a", "00"], ["b", "11"]],
        "generator": "generator.onnx",
        "image": {"channels": 3, "height": 8, "width": 8, "low": -1.0, "high": 1.0},
        "inputs": [{"name": "z", "datatype": "FP32", "shape": [2], "normal": {}}],
        "layers": [layer],
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    expected = hashlib.sha256(text.encode()).hexdigest()
    manifest = with_files(("b", "11"), ("a", "00"))
    assert digest(manifest) == expected
    # As format 1 has it.
    del content["encoder"], content["generator"]
    manifest.format = 1
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert digest(manifest) == hashlib.sha256(text.encode()).hexdigest()


def test_the_order_of_files_does_not_matter() -> None:
    assert digest(with_files(("a", "00"), ("b", "11"))) == digest(
        with_files(("b", "11"), ("a", "00"))
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: setattr(manifest, "name", "other"),
        lambda manifest: setattr(manifest, "digest", "other"),
        lambda manifest: setattr(manifest.provenance, "licence", "other"),
    ],
    ids=["name", "digest", "provenance"],
)
def test_what_a_generator_does_not_compute_is_not_in_the_digest(
    change: Callable[[bundle_pb2.Bundle], None],
) -> None:
    manifest = toy_manifest()
    change(manifest)
    assert digest(manifest) == digest(toy_manifest())


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.files.add(name="a", sha256="00"),
        lambda manifest: setattr(manifest.inputs[0], "name", "other"),
        lambda manifest: setattr(manifest.image, "high", 2.0),
        lambda manifest: setattr(manifest.layers[0], "tensor", "other"),
        lambda manifest: manifest.layers[0].carried.append("other"),
        lambda manifest: setattr(manifest.encoder, "mean", "other"),
        lambda manifest: setattr(manifest.encoder, "originals", "other"),
        lambda manifest: manifest.ClearField("encoder"),
        lambda manifest: setattr(manifest, "generator", "other"),
    ],
    ids=[
        *("files", "inputs", "image", "tensor", "carried"),
        *("mean", "originals", "encoder", "generator"),
    ],
)
def test_what_a_generator_computes_is_in_the_digest(
    change: Callable[[bundle_pb2.Bundle], object],
) -> None:
    manifest = toy_manifest()
    change(manifest)
    assert digest(manifest) != digest(toy_manifest())
