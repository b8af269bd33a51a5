"""The bundle format: a generator split at its layers, in one flat folder.

::

    manifest.json                        graftscope.v1.Bundle in JSON
    weights.bin                          every graph's weights, once
    generator.onnx                       latents -> image
    LAYER.upstream.onnx                  latents -> activation, carried tensors
    LAYER.downstream.onnx                activation, carried tensors -> image
    encoder.onnx, originals.safetensors  where there is an encoder
    MODEL_CARD.md                        for people; not listed in the manifest

It reads and verifies bundles, and knows what an ONNX file of a network that judges images says of
itself. It must not know torch, gRPC, graphs or sessions.
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
from graftscope.bundle._networks import (
    ImageLayout,
    NetworkDescription,
    Preprocessing,
    describe_network,
    find_network,
    network_for,
    shipped_networks,
)
from graftscope.bundle._originals import Originals, read_originals, write_originals
from graftscope.bundle.errors import (
    BundleError,
    BundleNotFoundError,
    CorruptBundleError,
    ManifestError,
    NetworkError,
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
    "ImageLayout",
    "ManifestError",
    "NetworkDescription",
    "NetworkError",
    "Originals",
    "Preprocessing",
    "UnknownFormatError",
    "describe_network",
    "digest",
    "file_sha256",
    "find_network",
    "find_shipped",
    "is_bundle_name",
    "manifest_from_json",
    "manifest_to_json",
    "network_for",
    "open_own",
    "read_bundle",
    "read_originals",
    "shipped",
    "shipped_networks",
    "write_originals",
]
