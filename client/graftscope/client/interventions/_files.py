"""Interventions as JSON: `graftscope.v1.Intervention`'s own form, with everything inside.

A file that people write may name other files where the contract has an array; these are read and
put in its place.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from numpy.typing import NDArray

from graftscope.client.arrays import read_source, read_values
from graftscope.client.errors import InputError, NotFoundError
from graftscope.client.interventions._edits import Edit
from graftscope.client.interventions._messages import edits_of, inline, message_of, put_inline
from graftscope.client.models import Json
from graftscope.v1 import intervention_pb2, tensor_pb2

_ARRAY = tensor_pb2.Array.DESCRIPTOR.full_name
_MASK = intervention_pb2.Mask.DESCRIPTOR.full_name
_SWAP = intervention_pb2.Swap.DESCRIPTOR.full_name
_LEVELS = ("coarse", "intermediate", "fine", "image")
_NEEDED = {
    "channels": ({"indices"}, '{"indices": [1, 4]}'),
    "scale": ({"factor"}, '{"factor": 2}'),
    "blend": ({"weight"}, '{"weight": 0.5, "donor": {}}'),
    "module": ({"index"}, '{"labels": "modules.npz", "index": 0}'),
    "constant": (
        {"scalar", "prior_mean", "priorMean", "array"},
        '{"scalar": 0}, {"prior_mean": {}} or {"array": "FILE.npy"}',
    ),
    "add": ({"scalar", "array"}, '{"scalar": 1} or {"array": "FILE.npy"}'),
    "mask": (
        {"rectangle", "array"},
        '{"array": "FILE.png"} or {"rectangle": {"top": 0, "left": 0, "height": 4, "width": 8}}',
    ),
}
"""What an edit's parts must hold, and an example of each."""

_EXPLORER = "explorer"
"""Where the explorer's page keeps what it restores itself from, which is nothing of the edits."""

_INSIDE = 0.5
"""Places of a painted mask that are at least so bright are inside."""
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_ARRAYS = (".npz", ".npy")

_Embed: TypeAlias = Callable[[str, FieldDescriptor, str], Json]
"""Takes a file's name, the field that it stands for, and the name of the array."""


def to_json(given: Iterable[Edit]) -> str:
    """Write edits down, one a line."""
    edits = [json.dumps(_document(edit)) for edit in message_of(given, put_inline).edits]
    return '{"edits": [\n  ' + ",\n  ".join(edits) + "\n]}\n"


def _document(edit: intervention_pb2.Edit) -> dict[str, object]:
    return json_format.MessageToDict(
        edit, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def read_json(text: str) -> tuple[Edit, ...]:
    """Read the edits of a text that holds everything."""
    return _read(text, "the text", _refuse_file)


def read_file(path: str | Path) -> tuple[Edit, ...]:
    """Read the edits of a file, with the files that it names."""
    source = Path(path)
    try:
        text = source.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {source}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{source} cannot be read as an intervention: {error}") from error

    def embed(name: str, field: FieldDescriptor, array: str) -> Json:
        return _tensor(_file(source.parent, name, field, array))

    found = _read(text, str(source), embed)
    _require_own_modules(json.loads(text), source)
    return found


def _require_own_modules(document: Json, path: Path) -> None:
    """Refuse modules that were found at another layer than the one that is edited."""
    for at, edit in _edits(document):
        module = edit.get("module")
        labels = module.get("labels") if isinstance(module, dict) else None
        if not isinstance(labels, str) or not labels.endswith(".npz"):
            continue
        source = read_source(path.parent / labels)
        # A level stands for a layer whose name only the model tells.
        if source is not None and edit["layer"] not in (source.layer, *_LEVELS):
            raise InputError(
                f"{path}: edit {at}: {labels} is of layer {source.layer} of {source.model}, not of"
                f" layer {edit['layer']}",
                field="module",
            )


def _read(text: str, what: str, embed: _Embed) -> tuple[Edit, ...]:
    try:
        edits = edits_of(_message(json.loads(text), embed), inline)
        if not edits:
            raise InputError("an intervention needs at least one edit", field="edits")
        return edits
    except NotFoundError as error:
        raise NotFoundError(f"{what}: {error}") from error
    except InputError as error:
        raise InputError(f"{what}: {error}", field=error.field) from error
    # A number of too many digits is a ValueError of its own.
    except (ValueError, json_format.ParseError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise InputError(f"{what} is not an intervention's JSON: {told}") from error


def _message(document: Json, embed: _Embed) -> intervention_pb2.Intervention:
    message = intervention_pb2.Intervention()
    if isinstance(document, dict):
        document = {key: each for key, each in document.items() if key != _EXPLORER}
    _require_spelled_out(document)
    filled = _filled(document, message.DESCRIPTOR, embed)
    if not isinstance(filled, dict):
        raise InputError('it must be an object such as {"edits": [...]}')
    json_format.ParseDict(filled, message)
    return message


def _edits(document: Json) -> list[tuple[int, dict[str, Json]]]:
    """List the edits that are objects, with their places; the parser refuses all others."""
    edits = document.get("edits") if isinstance(document, dict) else None
    found = enumerate(edits if isinstance(edits, list) else [])
    return [(at, edit) for at, edit in found if isinstance(edit, dict)]


def _require_spelled_out(document: Json) -> None:
    """Refuse what the contract would read as zero or as nothing, and lists in place of objects."""
    for at, edit in _edits(document):
        for key, (needed, example) in _NEEDED.items():
            value = edit.get(key)
            if value is not None and not (isinstance(value, dict) and needed & value.keys()):
                raise InputError(f'edit {at}: "{key}" must be {example}', field=key)


def _filled(value: Json, message: Descriptor, embed: _Embed) -> Json:
    """Put arrays in the place of files' names, wherever the message has an array."""
    if not isinstance(value, dict):
        return value  # the parser says what is wrong with it
    fields = {field.json_name: field for field in message.fields} | dict(message.fields_by_name)
    return {
        key: _field(each, fields[key], embed) if key in fields else each
        for key, each in value.items()
    }


def _field(value: Json, field: FieldDescriptor, embed: _Embed) -> Json:
    inner = field.message_type
    if inner is None:
        return value
    if inner.GetOptions().map_entry and isinstance(value, dict):
        entry = inner.fields_by_name["value"]
        return {key: _value(each, entry, embed, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_value(each, field, embed, field.name) for each in value]
    return _value(value, field, embed, field.name)


def _value(value: Json, field: FieldDescriptor, embed: _Embed, array: str) -> Json:
    """One value; `array` is what the array is called where a file holds several."""
    inner = field.message_type
    if inner is None:
        return value
    if inner.full_name == _ARRAY and isinstance(value, str):
        return embed(value, field, array)
    return _filled(value, inner, embed)


def _tensor(array: NDArray[np.generic]) -> Json:
    packed = np.asarray(array)
    if packed.dtype == np.float64:
        packed = packed.astype(np.float32)  # generators compute in it
    document: Json = json_format.MessageToDict(put_inline(packed))
    return document


def _file(folder: Path, name: str, field: FieldDescriptor, array: str) -> NDArray[np.generic]:
    """Read the file that stands for an array."""
    stem, colon, named = name.rpartition(":")
    path = folder / (stem if colon and Path(stem).suffix == ".npz" else name)
    insist = path != folder / name
    suffix = path.suffix.lower()
    if suffix in _ARRAYS:
        return read_values(path, named if insist else array, insist=insist)
    holder = "" if field.containing_type is None else field.containing_type.full_name
    if suffix in _PICTURES and holder in (_MASK, _SWAP):
        # Pillow takes a while to import.
        from graftscope.client.pictures import read_mask, read_picture

        return read_mask(path) >= _INSIDE if holder == _MASK else read_picture(path)[None]
    allowed = _ARRAYS + (_PICTURES if holder in (_MASK, _SWAP) else ())
    raise InputError(f"{name!r} is no file for {field.name!r}: it must end in {', '.join(allowed)}")


def _refuse_file(name: str, field: FieldDescriptor, array: str) -> Json:
    raise InputError(f"{field.name} {name!r} names a file, which only a JSON file can do")
