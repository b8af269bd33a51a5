"""Fields of what a page asks, from JSON to checked values; each refusal names field and value."""

import json
from collections.abc import Mapping
from typing import TypeAlias

from graftscope.client import Json
from graftscope.client.errors import InputError

LAST_SEED = (1 << 32) - 1
"""The highest that there is."""

LAST_NUMBER = (1 << 53) - 1
"""The highest whole number that a page can hold."""

Fields: TypeAlias = Mapping[str, Json]


def fields_of(message: str) -> Fields:
    """Read a message.

    Args:
        message: JSON.

    Returns:
        Its fields.

    Raises:
        InputError: If it is no JSON object.
    """
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):
        raise InputError("the message is not JSON") from None
    if not isinstance(fields, dict):
        raise InputError("the message is not a JSON object")
    return fields


def text(fields: Fields, name: str) -> str:
    """Read a name.

    Raises:
        InputError: If it is missing, empty or no text.
    """
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} {value!r} is not a name", field=name)
    return value


def whole(fields: Fields, name: str, low: int = 0, high: int = LAST_SEED) -> int:
    """Read a whole number.

    Raises:
        InputError: If it is none from ``low`` to ``high``.
    """
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"{name} {value!r} must be a whole number from {low} to {high}", field=name
        )
    return value


def number(fields: Fields, name: str, low: float, high: float) -> float:
    """Read a number.

    Raises:
        InputError: If it is none from ``low`` to ``high``.
    """
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{name} {value!r} must be a number from {low:g} to {high:g}", field=name)
    return float(value)


def numbers(fields: Fields, name: str, most: int, high: int = LAST_SEED) -> list[int]:
    """Read whole numbers.

    Raises:
        InputError: If they are more than ``most``, or one is none from 0 to ``high``.
    """
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise InputError(f"{name} must be a list of at most {most} numbers", field=name)
    return [whole({name: each}, name, high=high) for each in value]


def pair(fields: Fields, name: str, otherwise: Json = None) -> list[Json]:
    """Read two values, one of each original.

    Raises:
        InputError: If they are not two.
    """
    value = fields.get(name, otherwise)
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{name} {repr(value)[:80]} must be two, one of each original", field=name)
    return value
