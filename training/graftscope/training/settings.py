"""A recipe's settings as strings `KEY=VALUE`: read, to change a recipe, and written.

Keys are the fields of `Recipe`, and `architecture.FIELD` for those of its architecture.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from enum import Enum
from types import NoneType
from typing import get_args, get_origin, get_type_hints

from graftscope.training.architecture import Architecture
from graftscope.training.errors import RecipeError
from graftscope.training.recipes import RECIPES, Recipe

_ARCHITECTURE = "architecture"
_BESIDE_THE_WEIGHTS = {"report_every", "sample_every", "checkpoint_every", "tensorboard"}
_BOOLEANS = {"true": True, "false": False}


def apply_overrides(recipe: Recipe, overrides: Iterable[str]) -> Recipe:
    """Return the recipe with some settings changed.

    Args:
        recipe: The recipe to start from.
        overrides: Strings `KEY=VALUE`; lists of numbers are separated by commas, and `none`
            stands for nothing where nothing is allowed.

    Raises:
        RecipeError: If a key does not exist or is given twice, or its value cannot be read or is
            not allowed.
    """
    changes = parse_overrides(_kinds(), overrides)
    # All at once, so that settings that fit only together may be changed in any order.
    prefix = f"{_ARCHITECTURE}."
    inner = {key.removeprefix(prefix): changes[key] for key in changes if key.startswith(prefix)}
    outer = {key: changes[key] for key in changes if not key.startswith(prefix)}
    architecture = replace(recipe.architecture, **inner)  # type: ignore[arg-type]
    return replace(recipe, architecture=architecture, **outer)  # type: ignore[arg-type]


def parse_overrides(kinds: Mapping[str, object], overrides: Iterable[str]) -> dict[str, object]:
    """Read strings `KEY=VALUE`.

    Args:
        kinds: The type of every setting by its key.
        overrides: The strings; as of `apply_overrides`.

    Returns:
        The values by their keys.

    Raises:
        RecipeError: As `apply_overrides`, of single values.
    """
    changes: dict[str, object] = {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise RecipeError(f"{override!r} is not of the form KEY=VALUE")
        if key not in kinds:
            raise RecipeError(f"{key!r} is not a setting; there are: {', '.join(kinds)}")
        if key in changes:
            raise RecipeError(f"setting {key!r} is given twice; once is allowed")
        changes[key] = _parse(key, kinds[key], text.strip())
    return changes


def changed_settings(recipe: Recipe) -> list[str]:
    """Return `KEY=VALUE` for every setting that is not that of the recipe of the same name.

    How often a training reports and saves is left out: it decides nothing of the weights.

    Args:
        recipe: A checkpoint's recipe, with the settings that were changed.
    """
    own, usual = all_settings(recipe), all_settings(RECIPES[recipe.name])
    return [
        f"{key}={text}"
        for key, text in own.items()
        if text != usual[key] and key not in _BESIDE_THE_WEIGHTS
    ]


def all_settings(recipe: Recipe) -> dict[str, str]:
    """Return every setting of a recipe by its key, those of the networks as `architecture.KEY`."""
    outer = {**vars(recipe)}
    inner = vars(outer.pop(_ARCHITECTURE))
    named = outer | {f"{_ARCHITECTURE}.{name}": value for name, value in inner.items()}
    return {key: _text(value) for key, value in named.items()}


def _kinds() -> dict[str, object]:
    """Return the type of every setting by its key."""
    recipe, architecture = get_type_hints(Recipe), get_type_hints(Architecture)
    fixed = {"name", "objective", _ARCHITECTURE}
    keys = {field.name: recipe[field.name] for field in fields(Recipe) if field.name not in fixed}
    return keys | {
        f"{_ARCHITECTURE}.{field.name}": architecture[field.name] for field in fields(Architecture)
    }


def _parse(key: str, kind: object, text: str) -> object:
    options = get_args(kind)
    if NoneType in options:
        if text.lower() == "none":
            return None
        kind = next(option for option in options if option is not NoneType)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _lookup(key, {member.value: member for member in kind}, text)
    if kind is bool:
        return _lookup(key, _BOOLEANS, text.lower())
    if get_origin(kind) is tuple:
        return tuple(
            _number(key, int, part, "whole numbers with commas") for part in text.split(",")
        )
    if kind is str:
        return text
    read, expected = (int, "a whole number") if kind is int else (float, "a number")
    return _number(key, read, text, expected)


def _lookup(key: str, values: Mapping[str, object], text: str) -> object:
    if text not in values:
        raise RecipeError(f"{key} cannot be {text!r}; allowed are: {', '.join(values)}")
    return values[text]


def _number(key: str, kind: Callable[[str], float], text: str, expected: str) -> float:
    try:
        return kind(text)
    except ValueError as error:
        raise RecipeError(f"{key} cannot be {text!r}; it must be {expected}") from error


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
