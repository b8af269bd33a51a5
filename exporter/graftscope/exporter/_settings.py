"""A training's settings, as `train --set` takes them."""

from collections.abc import Iterator
from dataclasses import fields
from enum import Enum

from graftscope.training import RECIPES, Architecture, Recipe


def changed_settings(recipe: Recipe) -> list[str]:
    """Return `KEY=VALUE` for every setting that is not that of the recipe of the same name.

    Args:
        recipe: A checkpoint's recipe, with the settings that were changed.
    """
    own, usual = all_settings(recipe), all_settings(RECIPES[recipe.name])
    return [f"{key}={text}" for key, text in own.items() if text != usual[key]]


def all_settings(recipe: Recipe) -> dict[str, str]:
    """Return every setting of a recipe by its key, those of the networks as `architecture.KEY`."""
    return dict(_settings(recipe))


def _settings(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for field in fields(Recipe):
        if field.name != "architecture":
            yield field.name, _text(getattr(recipe, field.name))
    for field in fields(Architecture):
        yield f"architecture.{field.name}", _text(getattr(recipe.architecture, field.name))


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
