"""A bundle whose graphs are no graphs: enough for whatever looks at files and manifest alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from google.protobuf import json_format

from graftscope.bundle import (
    MANIFEST_FILE,
    Originals,
    digest,
    file_sha256,
    manifest_to_json,
    write_originals,
)
from graftscope.v1 import bundle_pb2

GRAPHS = ("generator.onnx", "fc.upstream.onnx", "fc.downstream.onnx", "encoder.onnx")


def toy_manifest() -> bundle_pb2.Bundle:
    """Return a manifest without files and digest."""
    return bundle_pb2.Bundle(
        format=2,
        name="toy",
        generator="generator.onnx",
        inputs=[
            bundle_pb2.Input(name="z", datatype="FP32", shape=[2], normal=bundle_pb2.Normal()),
        ],
        image=bundle_pb2.Image(channels=3, height=8, width=8, low=-1.0, high=1.0),
        layers=[
            bundle_pb2.Layer(
                name="fc",
                level="coarse",
                kind=bundle_pb2.LAYER_KIND_MAP,
                channels=4,
                height=2,
                width=2,
                tensor="relu",
                carried=["z"],
                upstream="fc.upstream.onnx",
                downstream="fc.downstream.onnx",
            )
        ],
        encoder=bundle_pb2.Encoder(
            file="encoder.onnx",
            input="z",
            image="image",
            mean="mean",
            log_variance="log_variance",
            originals="originals.safetensors",
        ),
        provenance=bundle_pb2.Provenance(
            recipe="vae-celeba", metrics={"kl": 41.25, "mse": 0.045}, versions={"torch": "2.13.0"}
        ),
    )


def write_toy(folder: Path) -> bundle_pb2.Bundle:
    """Write a bundle that `read_bundle` takes; return its manifest."""
    folder.mkdir()
    for name in (*GRAPHS, "weights.bin"):
        (folder / name).write_bytes(name.encode() * 100)
    write_originals(folder / "originals.safetensors", Originals(np.zeros(2), np.eye(2)))
    manifest = toy_manifest()
    for path in sorted(folder.iterdir()):
        manifest.files.add(name=path.name, sha256=file_sha256(path))
    manifest.digest = digest(manifest)
    (folder / "manifest.json").write_text(manifest_to_json(manifest))
    return manifest


def reseal(
    folder: Path,
    lie: Callable[[bundle_pb2.Bundle, Path], None] = lambda manifest, folder: None,
    **fields: object,
) -> bundle_pb2.Bundle:
    """Make a bundle whole again whose files were changed, and set fields of its manifest.

    Args:
        folder: The bundle.
        lie: Changes the manifest beside, or files after they were hashed.
        fields: Of the manifest.
    """
    text = (folder / MANIFEST_FILE).read_text(encoding="utf-8")
    manifest = json_format.Parse(text, bundle_pb2.Bundle())
    for name, value in fields.items():
        setattr(manifest, name, value)
    for file in manifest.files:
        file.sha256 = file_sha256(folder / file.name)
    lie(manifest, folder)
    manifest.digest = digest(manifest)
    (folder / MANIFEST_FILE).write_text(manifest_to_json(manifest), encoding="utf-8")
    return manifest
