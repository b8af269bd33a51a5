"""What the page is told: JSON, and pictures behind it where there are any.

A message without pictures is text. One with pictures is binary: the length of its JSON as four
bytes, the lowest first, the JSON, and the pictures' bytes one after another, which ``images`` in
the JSON describes in their order.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client import GraftscopeError, Json
from graftscope.explorer._fields import Fields

_LENGTH_BYTES = 4


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as the page gets it.

    Args:
        name: What it is.
        pixels: (H, W, c) uint8 of 1, 3 or 4 colours; or the bytes of an image file.
    """

    name: str
    pixels: NDArray[np.uint8] | bytes

    @property
    def data(self) -> bytes:
        """Its bytes, row by row."""
        return self.pixels if isinstance(self.pixels, bytes) else self.pixels.tobytes()

    def described(self) -> dict[str, Json]:
        """Say what its bytes are."""
        if isinstance(self.pixels, bytes):
            return {"name": self.name, "bytes": len(self.pixels)}
        height, width, colours = self.pixels.shape
        return {
            "name": self.name,
            "bytes": self.pixels.size,
            "height": height,
            "width": width,
            "colours": colours,
        }


@dataclass(frozen=True, eq=False)
class File:
    """A file as the page gets it, to hand it on unread.

    Args:
        name: What it is.
        data: Its bytes.
    """

    name: str
    data: bytes

    def described(self) -> dict[str, Json]:
        """Say what its bytes are."""
        return {"name": self.name, "bytes": len(self.data), "file": True}


@dataclass(frozen=True, eq=False)
class Answer:
    """One answer to a question, which may have several.

    Args:
        fields: What it says.
        pictures: What it shows, or hands on.
    """

    fields: Mapping[str, Json]
    pictures: Sequence[Picture | File] = ()


Answering: TypeAlias = Callable[[Fields], AsyncIterator[Answer]]
"""From a question's fields to its answers; it raises what is told of instead of one."""


class Topic(Protocol):
    """What a page can ask about one thing."""

    def questions(self) -> Mapping[str, Answering]:
        """Name the questions, and say how each is answered."""


def message(number: int, answer: Answer) -> str | bytes:
    """Write a message.

    Args:
        number: Of the question that it answers.
        answer: What is answered.

    Returns:
        Text, or bytes where it shows anything.
    """
    said: dict[str, Json] = {"id": number, **answer.fields}
    if not answer.pictures:
        return json.dumps(said, allow_nan=False)
    said["images"] = [each.described() for each in answer.pictures]
    head = json.dumps(said, allow_nan=False).encode()
    data = [each.data for each in answer.pictures]
    return b"".join([len(head).to_bytes(_LENGTH_BYTES, "little"), head, *data])


def failure(error: GraftscopeError) -> Answer:
    """Say what went wrong, and of which kind it is."""
    told: dict[str, Json] = {
        "message": str(error),
        "kind": type(error).__name__,
        "field": error.field,
        "retry_after_s": error.retry_after_s,
    }
    return Answer({"error": told})
