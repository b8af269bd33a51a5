"""What a file holds, counted in its bytes before anything is made of them.

A message of two bytes becomes an object of some hundred, so a count comes first. The walk follows
protobuf's wire format through ONNX's messages, and stops at the first limit that is passed.
"""

import mmap
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from graftscope.sandbox._limits import Limits
from graftscope.sandbox._reasons import Reason
from graftscope.sandbox.errors import ModelRefusedError

_DEEPEST: Final = 32
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5

_Inside = tuple[str, str]
"""The message inside a field, and what each of them counts as."""

_VALUE: Final = ("shape", "values")
_PROPERTY: Final = ("text", "values")
_MESSAGES: Final[Mapping[str, Mapping[int, _Inside]]] = {
    "model": {
        7: ("graph", "values"),
        8: _VALUE,
        14: _PROPERTY,
        20: _VALUE,
        25: ("function", "values"),
        26: _VALUE,
    },
    "graph": {
        1: ("node", "nodes"),
        5: ("tensor", "initializers"),
        11: _VALUE,
        12: _VALUE,
        13: _VALUE,
        14: _VALUE,
        15: ("shape", "initializers"),
        16: _PROPERTY,
    },
    "function": {
        4: _PROPERTY,
        5: _PROPERTY,
        6: _PROPERTY,
        7: ("node", "nodes"),
        9: _VALUE,
        11: ("attribute", "attributes"),
        12: _VALUE,
        14: _PROPERTY,
    },
    "node": {1: _PROPERTY, 2: _PROPERTY, 5: ("attribute", "attributes"), 9: _PROPERTY},
    "attribute": {
        5: ("tensor", "values"),
        6: ("graph", "values"),
        9: _PROPERTY,
        10: ("tensor", "values"),
        11: ("graph", "values"),
        14: _VALUE,
        15: _VALUE,
        22: _VALUE,
        23: _VALUE,
    },
    "tensor": {3: _VALUE, 6: _PROPERTY, 13: _PROPERTY, 16: _PROPERTY},
}
_WEIGHTS: Final = frozenset({4, 5, 7, 9, 10, 11})
"""Fields of a tensor that its file's size bounds."""
_COUNTED_BYTES: Final = {"shape": "bytes of shapes", "text": "bytes of text"}


def refuse_many(path: Path, limits: Limits) -> None:
    """Refuse a file that holds more than it may, without making anything of it.

    Args:
        path: An ONNX file.
        limits: What it may hold.

    Raises:
        ModelRefusedError: If it holds more, or is not made of messages.
    """
    with path.open("rb") as stream:
        if path.stat().st_size == 0:
            raise ModelRefusedError("the file is empty", Reason.UNREADABLE)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _Count(content, limits).walk("model", 0, len(content), 0)


class _Count:
    def __init__(self, content: mmap.mmap, limits: Limits) -> None:
        self._content = content
        self._limits = limits
        self._most = limits.counts()
        self._found: Counter[str] = Counter()

    def walk(self, message: str, start: int, end: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise ModelRefusedError(
                f"graphs lie more than {_DEEPEST} deep inside each other", Reason.TOO_LARGE
            )
        inside = _MESSAGES[message]
        for field, first, last in self._fields(start, end):
            kind, counted = inside.get(field, ("text", "numbers"))
            if message == "tensor" and field in _WEIGHTS:
                continue
            self._add(counted, 1)
            if kind in _MESSAGES:
                self.walk(kind, first, last, depth + 1)
            else:
                self._add(_COUNTED_BYTES[kind], last - first)

    def _add(self, what: str, count: int) -> None:
        self._found[what] += count
        if self._found[what] > self._most[what]:
            raise self._limits.refuse(
                f"its graphs hold more than {self._most[what]} {what}", "sandbox_nodes"
            )

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Number of each field, with the place of its content; an empty one for a number."""
        at = start
        while at < end:
            tag, at = self._varint(at, end)
            wire = tag & 7
            if wire == _VARINT:
                _, at = self._varint(at, end)
                yield tag >> 3, at, at
            elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
                at += 8 if wire == _EIGHT_BYTES else 4
                yield tag >> 3, at, at
            elif wire == _LENGTH:
                length, at = self._varint(at, end)
                if at + length > end:
                    raise _no_onnx()
                yield tag >> 3, at, at + length
                at += length
            else:
                raise _no_onnx()
        if at > end:
            raise _no_onnx()

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        number = shift = 0
        while at < end and shift < 70:
            byte = self._content[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, at
            shift += 7
        raise _no_onnx()


def _no_onnx() -> ModelRefusedError:
    return ModelRefusedError("it is no ONNX file, or cut short", Reason.UNREADABLE)
