"""The digest: one number for what a generator computes and where it can be cut.

It is the sha256 (lowercase hexadecimal) of a JSON text in ASCII without blanks, keys sorted::

    {"files":[[name,sha256],...],"image":{...},"inputs":[{...},...],"layers":[{...},...]}

Files are sorted by name; inputs and layers keep their order. The messages are in protobuf's JSON
form with proto field names, fields at their default left out: a field that a later version adds
to the contract does not change the digests of older bundles. Name, provenance and the digest
itself are not part of it, so the same model exported twice has one digest.
"""

import hashlib
import json
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from graftscope.v1 import bundle_pb2


def digest(manifest: bundle_pb2.Bundle) -> str:
    """Compute a manifest's digest from its files' hashes, inputs, image and layers.

    Args:
        manifest: A bundle's manifest; its own `digest` is not looked at.

    Returns:
        64 lowercase hexadecimal digits.
    """
    content = {
        "files": sorted([file.name, file.sha256] for file in manifest.files),
        "image": _plain(manifest.image),
        "inputs": [_plain(each) for each in manifest.inputs],
        "layers": [_plain(each) for each in manifest.layers],
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes in lowercase hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _plain(message: Message) -> dict[str, object]:
    plain: dict[str, object] = MessageToDict(message, preserving_proto_field_name=True)
    return plain
