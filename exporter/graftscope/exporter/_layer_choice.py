"""Which of a generator's layers are exported: all, so many, or those of some names.

A deep network has hundreds, each of which takes two files and a proof of its own.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

from graftscope.exporter.errors import SourceError


class Named(Protocol):
    """What is chosen among: layers that were found, or those of a bundle."""

    @property
    def name(self) -> str:
        """What a user calls it."""

    @property
    def tensor(self) -> str:
        """What its graph calls it."""


AnyLayer = TypeVar("AnyLayer", bound=Named)


@dataclass(frozen=True)
class LayerChoice:
    """What a caller says of the layers.

    Attributes:
        parts: Names, in which * stands for anything; or one whole number: evenly that many of
            all, from the latents to the image, unless a layer has that name. Empty takes all.
    """

    parts: tuple[str, ...] = ()

    def of(self, layers: Sequence[AnyLayer], latents: Sequence[str]) -> tuple[AnyLayer, ...]:
        """Choose layers, in their order; those that are latents cost nothing and stay.

        Args:
            layers: All that there are.
            latents: Names of the inputs that are layers themselves.

        Raises:
            SourceError: If a pattern fits no layer; it lists them. If a number is below 1, or
                stands beside something else.
        """
        inner = [layer for layer in layers if layer.tensor not in latents]
        names = {layer.name for layer in layers}
        numbers = [part for part in self.parts if _is_number(part) and part not in names]
        if not numbers:
            kept = self._named(layers) if self.parts else inner
        elif len(self.parts) > 1 or int(numbers[0]) < 1:
            raise SourceError(
                f"--layer {','.join(self.parts)!r} cannot be read; allowed: how many, at least 1, "
                "or names and patterns with commas, such as up.*,middle"
            )
        else:
            kept = _evenly(inner, int(numbers[0]))
        return tuple(layer for layer in layers if layer in kept or layer.tensor in latents)

    def _named(self, layers: Sequence[AnyLayer]) -> list[AnyLayer]:
        for pattern in self.parts:
            names = [layer.name for layer in layers]
            if not any(fnmatchcase(name, pattern) for name in names):
                near = difflib.get_close_matches(pattern, names, 1)
                meant = f"; the nearest is {near[0]!r}" if near else ""
                raise SourceError(
                    f"--layer {pattern!r} is the name of none of {len(names)} layers: "
                    f"{', '.join(names)}{meant}"
                )
        return [x for x in layers if any(fnmatchcase(x.name, each) for each in self.parts)]


def _is_number(part: str) -> bool:
    return part.removeprefix("-").isdecimal()


def _evenly(layers: list[AnyLayer], most: int) -> list[AnyLayer]:
    if most >= len(layers):
        return layers
    # The middles of as many equal parts: neither the first nor the last layer is special.
    return [layers[(2 * i + 1) * len(layers) // (2 * most)] for i in range(most)]


def parse_layers(texts: Sequence[str]) -> LayerChoice:
    """Read what a user says of layers.

    Args:
        texts: One whole number, or names and patterns; each may hold several with commas.
    """
    parts = (part.strip() for text in texts for part in text.split(","))
    return LayerChoice(tuple(part for part in parts if part))
