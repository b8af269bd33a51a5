"""What an original is, as a page says it: a seed's sample, or what a photograph was encoded to.

It must not know how latents are made of it.
"""

import binascii
import math
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from graftscope.client import Json
from graftscope.client.errors import InputError
from graftscope.explorer._fields import Fields, whole

MOST_INPUTS = 64
"""That are given for one original."""

T = TypeVar("T")

Named: TypeAlias = tuple[tuple[str, T], ...]
"""Values by the inputs' names, in their order: unlike a dict, it can be a key."""


@dataclass(frozen=True)
class Sample:
    """An original: the first sample of a seed, but for what is said otherwise.

    Args:
        seed: Its seed.
        given: Values of inputs, such as a class.
        drawn: Inputs that another seed draws, such as noise, and that seed.
        encoded: What an encoder made of a photograph: each input's numbers in single precision,
            the lowest byte first.
        truncation: What the distance of normal latents from their mean is multiplied with, where
            the seed draws them: 1 as drawn, 0 the mean.
    """

    seed: int
    given: Named[float] = ()
    drawn: Named[int] = ()
    encoded: Named[bytes] = ()
    truncation: float = 1.0


def sample(value: Json, truncation: float = 1.0) -> Sample:
    """Read an original.

    Args:
        value: ``seed``, ``inputs`` by their names, each a number or the ``seed`` that draws it,
            and ``photograph``, of which ``latents`` are each in base64, or nothing.
        truncation: Of both originals.

    Raises:
        InputError: If a field is missing, or is not what it must be.
    """
    original = _object("originals", value)
    inputs = _object("inputs", original.get("inputs", {}))
    photograph = _object("photograph", original.get("photograph") or {})
    return Sample(
        whole(original, "seed"),
        _named(inputs, lambda each: not isinstance(each, dict), _number),
        _named(inputs, lambda each: isinstance(each, dict), _seed),
        _named(_object("latents", photograph.get("latents", {})), lambda _: True, _bytes),
        truncation,
    )


def _object(name: str, value: Json) -> Fields:
    if not isinstance(value, dict) or len(value) > MOST_INPUTS:
        raise InputError(
            f"{name} {value!r} must be a JSON object of at most {MOST_INPUTS} fields", field=name
        )
    return value


def _named(
    fields: Fields, wanted: Callable[[Json], bool], read: Callable[[str, Json], T]
) -> Named[T]:
    names = [name for name in sorted(fields) if wanted(fields[name])]
    return tuple((name, read(name, fields[name])) for name in names)


def _number(name: str, value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"input {name!r} is {value!r}; it must be a number", field="inputs")
    return value


def _seed(name: str, value: Json) -> int:
    assert isinstance(value, dict)
    try:
        return whole(value, "seed")
    except InputError as error:
        raise InputError(f"input {name!r}: {error}", field="inputs") from None


def _bytes(name: str, value: Json) -> bytes:
    try:
        return b64decode(value, validate=True) if isinstance(value, str) else b""
    except binascii.Error:
        raise InputError(f"latents {name!r} are not written in base64", field="latents") from None
