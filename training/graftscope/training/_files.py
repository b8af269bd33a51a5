"""Files that are either the old ones or the new ones, never something between.

JSON holds frozen dataclasses, as plain types and back by the dataclasses' own annotations.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import TypeVar, get_args, get_origin, get_type_hints

import safetensors
from safetensors.torch import save
from torch import Tensor

from graftscope.training.errors import CheckpointError, CheckpointNotFoundError

T = TypeVar("T")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place, then move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        # Without it a power cut could leave a renamed file without its content.
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, value: object) -> None:
    """Write a value of plain types as JSON."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        CheckpointNotFoundError: If the file is not there.
        CheckpointError: If it holds no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(f"{path.name!r} is missing in {path.parent}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged: it holds no JSON object")
    return value


def read_as(kind: type[T], path: Path, plain: object) -> T:
    """Build a dataclass from what a file has of it.

    Raises:
        CheckpointError: If it does not fit.
    """
    try:
        return from_plain(kind, plain)
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def read_json_of(path: Path, wanted: int) -> dict[str, object]:
    """Read a JSON object that says which format it is of. Raises as `read_json` does.

    Raises:
        CheckpointError: If it is of another format.
    """
    plain = read_json(path)
    found = plain.pop("format", None)
    if found != wanted:
        raise CheckpointError(f"{path} has format {found!r}; this version reads {wanted}")
    return plain


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write a table."""
    write_atomically(path, csv_bytes(rows))


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, which know no memory format but the contiguous one."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, dict(metadata) if metadata else None))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file.

    Raises:
        CheckpointNotFoundError: If the file is not there.
        CheckpointError: If it is truncated or otherwise damaged.
    """
    if not path.is_file():
        raise CheckpointNotFoundError(f"{path.name!r} is missing in {path.parent}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
            return tensors, file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def to_plain(value: object) -> object:
    """Turn a dataclass (or what one holds) into dictionaries, lists, strings and numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def from_plain(kind: type[T], plain: object) -> T:
    """Build a dataclass from what `to_plain` made of it.

    A field that has a default may be missing: files that are older than the field do not have it.

    Raises:
        ValueError: If a field is missing, unknown, or not of its annotated type.
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"{kind.__name__} is not an object but {plain!r}")
    hints = get_type_hints(kind)
    known = fields(kind)  # type: ignore[arg-type]
    needed = {field.name for field in known if field.default is MISSING}
    odd = (needed - set(plain)) | (set(plain) - {field.name for field in known})
    if odd:
        names = ", ".join(sorted(odd))
        raise ValueError(f"{kind.__name__} has missing or unknown fields: {names}")
    return kind(**{name: _value(name, hints[name], plain[name]) for name in plain})


def _value(name: str, hint: object, plain: object) -> object:
    if get_origin(hint) is UnionType:
        return None if plain is None else _value(name, _without_none(hint), plain)
    if get_origin(hint) is tuple and isinstance(plain, list):
        return tuple(_value(name, get_args(hint)[0], item) for item in plain)
    if get_origin(hint) is Mapping and isinstance(plain, Mapping):
        return {key: _value(name, get_args(hint)[1], item) for key, item in plain.items()}
    if isinstance(hint, type):
        return _plain_value(name, hint, plain)
    raise ValueError(f"{name} cannot be {plain!r}")


def _plain_value(name: str, kind: type, plain: object) -> object:
    if is_dataclass(kind):
        return from_plain(kind, plain)
    if issubclass(kind, Enum):
        return kind(plain)
    if kind is float and type(plain) is int:
        return float(plain)
    # bool is an int to isinstance, but a JSON true is not a number.
    if type(plain) is kind:
        return plain
    raise ValueError(f"{name} cannot be {plain!r}")


def _without_none(union: object) -> object:
    """Return T of `T | None`, the only unions that the room's dataclasses have."""
    (kind,) = (option for option in get_args(union) if option is not NoneType)
    return kind
