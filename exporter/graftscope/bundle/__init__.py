"""The bundle format: a generator split at its layers, in one flat folder.

::

    manifest.json                        graftscope.v1.Bundle in JSON
    weights.bin                          every graph's weights, once
    generator.onnx                       latents -> image
    LAYER.upstream.onnx                  latents -> activation, carried tensors
    LAYER.downstream.onnx                activation, carried tensors -> image
    encoder.onnx, originals.safetensors  where there is an encoder
    MODEL_CARD.md                        for people; not listed in the manifest

It reads, verifies and describes bundles. It must not know torch, gRPC, graphs or sessions.
"""

from graftscope.bundle._describe import LayerRow, describe
from graftscope.bundle._digest import digest, file_sha256
from graftscope.bundle._folder import BundleFolder, read_bundle
from graftscope.bundle._manifest import (
    DATATYPES,
    FORMAT,
    MANIFEST_FILE,
    NAME_RULE,
    is_bundle_name,
    manifest_from_json,
    manifest_to_json,
)
from graftscope.bundle._originals import Originals, read_originals, write_originals
from graftscope.bundle._shipped import find_shipped, shipped
from graftscope.bundle.errors import (
    BundleError,
    BundleNotFoundError,
    CorruptBundleError,
    ManifestError,
    UnknownFormatError,
)

__all__ = [
    "DATATYPES",
    "FORMAT",
    "MANIFEST_FILE",
    "NAME_RULE",
    "BundleError",
    "BundleFolder",
    "BundleNotFoundError",
    "CorruptBundleError",
    "LayerRow",
    "ManifestError",
    "Originals",
    "UnknownFormatError",
    "describe",
    "digest",
    "file_sha256",
    "find_shipped",
    "is_bundle_name",
    "manifest_from_json",
    "manifest_to_json",
    "read_bundle",
    "read_originals",
    "shipped",
    "write_originals",
]
