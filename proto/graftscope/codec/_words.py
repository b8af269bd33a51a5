"""Enumerations of the contract in words: METHOD_KMEANS is "kmeans", by the enumeration's prefix."""

import re
from functools import cache

from google.protobuf.descriptor import EnumDescriptor

from graftscope.codec._errors import UnknownNumberError, UnknownWordError

_UNSPECIFIED = "unspecified"


@cache
def words_of(kind: EnumDescriptor) -> dict[str, int]:
    """List an enumeration's words with their numbers, in the contract's order.

    Args:
        kind: Such as ``Method.DESCRIPTOR``.

    Returns:
        Without the value that stands for nothing said.
    """
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.name).upper() + "_"
    words = {value.name.removeprefix(prefix).lower(): value.number for value in kind.values}
    words.pop(_UNSPECIFIED, None)
    return words


def number_of(kind: EnumDescriptor, word: str) -> int:
    """Translate a word.

    Raises:
        UnknownWordError: If the enumeration does not have it.
    """
    words = words_of(kind)
    if word not in words:
        what = _spelled(kind)
        raise UnknownWordError(f"{what} {word!r} is unknown; there are: {', '.join(words)}", what)
    return words[word]


def word_of(kind: EnumDescriptor, number: int, unsaid: str = "") -> str:
    """Translate a number.

    Args:
        kind: The enumeration.
        number: As it came.
        unsaid: What it means that nothing was said.

    Raises:
        UnknownNumberError: If the enumeration does not have it.
    """
    if number == 0:
        return unsaid
    for word, known in words_of(kind).items():
        if known == number:
            return word
    what = _spelled(kind)
    raise UnknownNumberError(
        f"{what} number {number} is unknown; there are: {', '.join(words_of(kind))}", what
    )


def _spelled(kind: EnumDescriptor) -> str:
    """JobState as it is read: job state."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.name).lower()
