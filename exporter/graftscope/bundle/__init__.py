"""The bundle format: a generator split at its layers, in one flat folder.

::

    manifest.json                        graftscope.v1.Bundle in JSON
    weights.bin                          every graph's weights, once
    generator.onnx                       latents -> image
    LAYER.upstream.onnx                  latents -> activation, carried tensors
    LAYER.downstream.onnx                activation, carried tensors -> image
    encoder.onnx, originals.safetensors  where there is an encoder
    MODEL_CARD.md                        for people; not listed in the manifest

It reads and verifies bundles. It must not know torch, gRPC, graphs or sessions.
"""

from graftscope.bundle._folder import (
    BundleFolder,
    file_sha256,
    find_shipped,
    open_own,
    read_bundle,
    shipped,
)
from graftscope.bundle._manifest import (
    FORMAT,
    MANIFEST_FILE,
    MANIFEST_LIMIT_BYTES,
    NAME_RULE,
    digest,
    is_bundle_name,
    manifest_from_json,
    manifest_to_json,
)
from graftscope.bundle._originals import Originals, read_originals, write_originals
from graftscope.bundle.errors import (
    BundleError,
    BundleNotFoundError,
    CorruptBundleError,
    ManifestError,
    UnknownFormatError,
)

__all__ = [
    "FORMAT",
    "MANIFEST_FILE",
    "MANIFEST_LIMIT_BYTES",
    "NAME_RULE",
    "BundleError",
    "BundleFolder",
    "BundleNotFoundError",
    "CorruptBundleError",
    "ManifestError",
    "Originals",
    "UnknownFormatError",
    "digest",
    "file_sha256",
    "find_shipped",
    "is_bundle_name",
    "manifest_from_json",
    "manifest_to_json",
    "open_own",
    "read_bundle",
    "read_originals",
    "shipped",
    "write_originals",
]
