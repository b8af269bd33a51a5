"""Requests of every kind, made from the contract's descriptors: sensible ones, odd ones, and noise.

Names and numbers that mean something are mixed with those that do not, so that a request gets past
the first check as often as it fails it. By its number a request can be made again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_DEPTH = 7
_DATATYPES = ("FP32", "FP64", "INT64", "UINT8", "BOOL", "BYTES", "FP16", "")
_ODD_TEXTS = ("", " ", "x", "../../etc/passwd", "é✂😀", "\x00", "a" * 5_000, "operations/", "-1")
_ODD_NUMBERS = (0, 1, 1, 2, 3, 7, 31, 2**31 - 1)
_ODD_FLOATS = (0.0, 1.0, -1.0, 0.5, 1e308, -1e-320, float("nan"), float("inf"), float("-inf"))


@dataclass(frozen=True)
class Maker:
    """Makes requests.

    Attributes:
        chance: what is made of what.
        texts: names that mean something to the server.
    """

    chance: random.Random
    texts: Sequence[str]

    def request(self, kind: Descriptor) -> bytes:
        """A request of a kind: mostly a whole one, else a damaged one, or bytes of no kind."""
        which = self.chance.random()
        if which < 0.05:
            return self.chance.randbytes(self.chance.randrange(200))
        data = self._message(kind, 0).SerializeToString()
        return data if which < 0.8 else self._damaged(data)

    def _message(self, kind: Descriptor, depth: int) -> Message:
        message: Message = message_factory.GetMessageClass(kind)()
        for field in kind.fields:
            # Most fields are set: an empty request gets no further than its first check.
            if depth < _DEPTH and self.chance.random() < (0.8 if depth < 3 else 0.6):
                self._fill(message, field, depth)
        return message

    def _fill(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        values: Any = getattr(message, field.name)
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            kind = inner.fields_by_name["value"].message_type
            assert kind is not None  # The contract has no maps to numbers.
            for _ in range(self.chance.randrange(3)):
                values[self._text()].CopyFrom(self._message(kind, depth + 1))
        elif field.is_repeated:
            count = self.chance.choice((0, 1, 1, 2, 3, 70))
            if inner is not None:
                values.extend(self._message(inner, depth + 1) for _ in range(min(count, 3)))
            else:
                values.extend(self._scalar(field) for _ in range(count))
        elif inner is not None:
            values.CopyFrom(self._message(inner, depth + 1))
        else:
            setattr(message, field.name, self._scalar(field))

    def _scalar(self, field: FieldDescriptor) -> Any:
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                size = self.chance.randrange(64)
                return (
                    bytes(4 * size) if self.chance.random() < 0.5 else self.chance.randbytes(size)
                )
            case FieldDescriptor.CPPTYPE_STRING:
                is_datatype = field.name == "datatype"
                return self.chance.choice(_DATATYPES) if is_datatype else self._text()
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return self.chance.choice(_ODD_FLOATS)
            case FieldDescriptor.CPPTYPE_BOOL:
                return self.chance.random() < 0.5
            case FieldDescriptor.CPPTYPE_ENUM:
                return self.chance.choice((0, 0, 1, 2, 3, 4, 5, 99))
            case FieldDescriptor.CPPTYPE_UINT64 | FieldDescriptor.CPPTYPE_INT64:
                return self.chance.choice((*_ODD_NUMBERS, 2**63 - 1))
            case _:
                return self.chance.choice(_ODD_NUMBERS)

    def _text(self) -> str:
        return self.chance.choice(self.texts if self.chance.random() < 0.8 else _ODD_TEXTS)

    def _damaged(self, data: bytes) -> bytes:
        damaged = bytearray(data or b"\x0a")
        for _ in range(self.chance.randint(1, 3)):
            at = self.chance.randrange(len(damaged) or 1)
            match self.chance.randrange(3):
                case 0:
                    damaged[at : at + 1] = self.chance.randbytes(1)
                case 1:
                    del damaged[at:]
                case _:
                    damaged[at:at] = self.chance.randbytes(self.chance.randrange(8))
        return bytes(damaged)
