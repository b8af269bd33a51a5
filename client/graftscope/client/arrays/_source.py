"""Which model and layer a file's arrays are of: said in the archive's comment, beside the arrays.

The arrays' names are the file's format, so this is no array: numpy passes over the comment, and a
file that was made by hand has none.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from graftscope.client.arrays._npz import read_comment

SHOWN_DIGITS = 12
"""Of a digest, where people read it."""


@dataclass(frozen=True)
class Source:
    """What influence maps, and the modules found in them, are of.

    Args:
        model: The model's name.
        model_digest: The model's version.
        layer: The layer's name, or its level's; empty where interventions are at several.
        operation: The operation that computed the maps.
        is_partial: Whether it had not come to its end: the maps are of the pairs so far.
    """

    model: str
    model_digest: str
    layer: str
    operation: str
    is_partial: bool = False

    def __str__(self) -> str:
        """Name the layer, the model and the beginning of its digest."""
        what = f"layer {self.layer}" if self.layer else "several layers"
        partial = " (partial: not all pairs)" if self.is_partial else ""
        return f"{what} of {self.model}@{self.model_digest[:SHOWN_DIGITS]}{partial}"

    def to_comment(self) -> bytes:
        """Make an archive's comment: JSON."""
        return json.dumps(asdict(self)).encode()


def source_from_comment(comment: bytes) -> Source | None:
    """Read an archive's comment; None for one that is not `Source.to_comment`'s."""
    try:
        found = json.loads(comment)
    except (ValueError, RecursionError):
        return None
    names = [field.name for field in fields(Source) if field.type is str]
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in names):
        return None
    is_partial = found.get("is_partial") is True  # Files of earlier versions do not say.
    return Source(**{name: found[name] for name in names}, is_partial=is_partial)


def read_source(path: str | Path) -> Source | None:
    """Tell what an `.npz` file's arrays are of.

    Args:
        path: The file.

    Returns:
        What it says; None if it says nothing.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If it is not an `.npz` file.
    """
    return source_from_comment(read_comment(path))
