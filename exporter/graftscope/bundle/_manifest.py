"""The manifest: a bundle's message in JSON, and what it must say to be believed.

It checks what a manifest says, not whether the files are what it says.

The digest is one number for what a generator computes and where it can be cut: the sha256
(lowercase hexadecimal) of a JSON text in ASCII without blanks, keys sorted::

    {"encoder":{...},"files":[[name,sha256],...],"generator":name,
     "image":{...},"inputs":[{...},...],"layers":[{...},...]}

`encoder` is {} where there is none; format 1 has neither `encoder` nor `generator`. Files are
sorted by name; inputs and layers keep their order. The messages are in protobuf's JSON form with
proto field names, fields at their default left out: a field that a later version adds to the
contract does not change the digests of older bundles. Name, provenance and the digest itself are
not part of it, so the same model exported twice has one digest.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from google.protobuf import json_format
from google.protobuf.message import Message

from graftscope.bundle.errors import ManifestError, UnknownFormatError
from graftscope.codec import DATATYPES
from graftscope.v1 import bundle_pb2

FORMAT: Final = 2
"""Version of the bundle format that is written."""
READABLE: Final = (1, 2)
MANIFEST_FILE: Final = "manifest.json"
"""Name of the manifest in a bundle's folder."""
MANIFEST_LIMIT_BYTES: Final = 4 * 2**20
"""A manifest is no larger: enough for thousands of layers, and far from filling the memory."""

ELEMENTS_LIMIT: Final = 2**28
"""How many numbers one sample may have at a layer, an input or the image: 1 GiB of float32."""

NAME_RULE: Final = "lowercase letters, digits, '-', '_' and '.', a letter or digit first"
"""What a bundle's name consists of, in words."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def is_bundle_name(name: str) -> bool:
    """Tell whether a bundle may have that name.

    Args:
        name: Allowed are lowercase letters, digits, '-', '_' and '.', a letter or digit first.
    """
    return _NAME.fullmatch(name) is not None


def manifest_to_json(manifest: bundle_pb2.Bundle) -> str:
    """Write a manifest as JSON: proto field names, defaults printed, keys sorted.

    Args:
        manifest: The manifest.

    Returns:
        The text of `manifest.json`; the same for equal manifests.
    """
    plain = json_format.MessageToDict(
        manifest, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def manifest_from_json(text: str) -> bundle_pb2.Bundle:
    """Read a manifest and check that it fits together.

    Args:
        text: The text of `manifest.json`.

    Returns:
        The manifest.

    Raises:
        UnknownFormatError: If it is of another version of the format.
        ManifestError: If it is not JSON, has an unknown field or a value of the wrong type, or
            what it says does not fit together.
    """
    plain = _json_object(text)
    if plain.get("format") not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise UnknownFormatError(
            f"the bundle has format {str(plain.get('format'))[:40]!r}; this version reads {known}"
        )
    manifest = bundle_pb2.Bundle()
    try:
        json_format.ParseDict(plain, manifest)
    except json_format.ParseError as error:
        raise ManifestError(_first_line(error)) from error
    for problem in _problems(manifest):
        raise ManifestError(problem)
    return manifest


def digest(manifest: bundle_pb2.Bundle) -> str:
    """Compute a manifest's digest, by the rule of its format.

    Args:
        manifest: A bundle's manifest; its own `digest` is not looked at.

    Returns:
        64 lowercase hexadecimal digits.
    """
    content: dict[str, object] = {
        "files": sorted([file.name, file.sha256] for file in manifest.files),
        "image": _plain(manifest.image),
        "inputs": [_plain(each) for each in manifest.inputs],
        "layers": [_plain(each) for each in manifest.layers],
    }
    if manifest.format > 1:
        content |= {"encoder": _plain(manifest.encoder), "generator": manifest.generator}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _json_object(text: str) -> dict[str, object]:
    try:
        plain = json.loads(text)
    # A number of too many digits is a ValueError of its own.
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ManifestError("its JSON is nested too deeply") from error
    if not isinstance(plain, dict):
        raise ManifestError(f"must hold a JSON object, not a {type(plain).__name__}")
    return plain


def _plain(message: Message) -> dict[str, object]:
    plain: dict[str, object] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return plain


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _problems(manifest: bundle_pb2.Bundle) -> Iterator[str]:
    if not is_bundle_name(manifest.name):
        yield f"name {manifest.name!r} must be {NAME_RULE}"
    yield from _file_problems(manifest)
    yield from _input_problems(manifest)
    yield from _image_problems(manifest.image)
    yield from _layer_problems(manifest)


def _file_problems(manifest: bundle_pb2.Bundle) -> Iterator[str]:
    listed = dict.fromkeys(file.name for file in manifest.files)
    for name in listed:
        if not _FILE_NAME.fullmatch(name):
            yield f"file {name!r} must be a plain file name: letters, digits, '.', '_' and '-'"
    yield from _repeated("file", [file.name for file in manifest.files])
    for user, name in _files_used(manifest):
        if name not in listed:
            yield f"{user} {name!r} is not among the files: {', '.join(listed)[:400] or 'none'}"


def _files_used(manifest: bundle_pb2.Bundle) -> Iterator[tuple[str, str]]:
    inputs = [each.name for each in manifest.inputs]
    yield "generator", manifest.generator
    for layer in manifest.layers:
        if layer.upstream or layer.tensor not in inputs:
            yield f"layer {layer.name!r}: upstream", layer.upstream
        yield f"layer {layer.name!r}: downstream", layer.downstream
    if manifest.HasField("encoder"):
        yield "encoder", manifest.encoder.file
        if manifest.encoder.originals:
            yield "originals", manifest.encoder.originals
    for each in manifest.inputs:
        for kind in ("fixed", "stored", "pictures"):
            if each.HasField(kind):
                yield f"input {each.name!r}: {kind} values", getattr(each, kind).file


def _input_problems(manifest: bundle_pb2.Bundle) -> Iterator[str]:
    names = [each.name for each in manifest.inputs]
    if not names:
        yield "inputs must hold at least one input"
    yield from _repeated("input", names)
    for each in manifest.inputs:
        if each.datatype not in DATATYPES:
            allowed = ", ".join(DATATYPES)
            yield f"input {each.name!r} has datatype {each.datatype!r}; allowed: {allowed}"
        if each.WhichOneof("distribution") is None:
            yield f"input {each.name!r} has no distribution"
        if 0 in each.shape:
            yield f"input {each.name!r} has an extent of 0: {list(each.shape)}"
        if math.prod(each.shape) > ELEMENTS_LIMIT:
            yield f"input {each.name!r} {_too_large(each.shape)}"
        for problem in _distribution_problems(each):
            yield f"input {each.name!r}: {problem}"
    inferred = manifest.encoder.input
    if manifest.HasField("encoder") and inferred not in names:
        yield f"the encoder infers input {inferred!r}; the inputs: {', '.join(names)}"


def _distribution_problems(value: bundle_pb2.Input) -> Iterator[str]:
    normal, choice, pictures = value.normal, value.choice, value.pictures
    uniform, threshold = value.uniform, value.truncated_normal.threshold
    if not (math.isfinite(normal.mean) and 0 <= normal.deviation < math.inf):
        yield f"normal of mean {normal.mean} and deviation {normal.deviation}"
    if not (math.isfinite(uniform.low) and math.isfinite(uniform.high)):
        yield f"uniform in [{uniform.low}, {uniform.high}]"
    if not math.isfinite(threshold):
        yield f"normal truncated at {threshold}"
    if value.HasField("classes") and not value.classes.count:
        yield "0 classes"
    if value.HasField("choice") and not (choice.values and all(map(math.isfinite, choice.values))):
        yield f"choice of {list(choice.values)}; allowed are finite numbers, at least one"
    if value.HasField("one_hot") and value.one_hot.count not in value.shape:
        yield f"one-hot of {value.one_hot.count} classes, an extent that {list(value.shape)} lacks"
    if value.HasField("pictures") and not (pictures.count and pictures.low < pictures.high):
        yield f"{pictures.count} pictures in [{pictures.low}, {pictures.high}]"


def _image_problems(image: bundle_pb2.Image) -> Iterator[str]:
    if 0 in (image.channels, image.height, image.width):
        yield f"the image is {image.channels} x {image.height} x {image.width}"
    if math.prod(extents := (image.channels, image.height, image.width)) > ELEMENTS_LIMIT:
        yield f"the image {_too_large(extents)}"
    if not -math.inf < image.low < image.high < math.inf:
        yield f"the image's range [{image.low}, {image.high}] is empty or has no end"


def _layer_problems(manifest: bundle_pb2.Bundle) -> Iterator[str]:
    if not manifest.layers:
        yield "layers must hold at least one layer"
    yield from _repeated("layer", [layer.name for layer in manifest.layers])
    yield from _repeated("level", [layer.level for layer in manifest.layers if layer.level])
    for layer in manifest.layers:
        if layer.kind == bundle_pb2.LAYER_KIND_UNSPECIFIED:
            yield f"layer {layer.name!r} has no kind"
        extents = (layer.channels, layer.height, layer.width)
        if 0 in extents:
            yield f"layer {layer.name!r} is {' x '.join(map(str, extents))}"
        if math.prod(extents) > ELEMENTS_LIMIT:
            yield f"layer {layer.name!r} {_too_large(extents)}"


def _too_large(extents: Sequence[int]) -> str:
    shape = " x ".join(map(str, extents[:16]))
    return f"is {shape}; at most {ELEMENTS_LIMIT} numbers are allowed"


def _repeated(what: str, names: list[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1 or not name:
            yield f"{what} {name!r} is listed {count} times; names must be unique and not empty"
