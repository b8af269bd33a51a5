"""Which of a generator's layers are exported: all, so many, or those of some names.

A deep network has hundreds, each of which takes two files and a proof of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from graftscope.exporter.errors import SourceError
from graftscope.graph import Layer


@dataclass(frozen=True)
class LayerChoice:
    """What a caller says of the layers.

    Attributes:
        most: Evenly that many of all, from the latents to the image; None where names tell.
        patterns: Names, in which * stands for anything; empty takes all, or so many of all.
    """

    most: int | None = None
    patterns: tuple[str, ...] = ()

    def of(self, layers: Sequence[Layer], latents: Sequence[str]) -> tuple[Layer, ...]:
        """Choose layers, in their order; those that are latents cost nothing and stay.

        Args:
            layers: All that there are.
            latents: Names of the inputs that are layers themselves.

        Raises:
            SourceError: If a pattern fits no layer; it lists them.
        """
        inner = [layer for layer in layers if layer.tensor not in latents]
        kept = set(self._named(layers) if self.patterns else self._evenly(inner))
        return tuple(layer for layer in layers if layer in kept or layer.tensor in latents)

    def _evenly(self, layers: list[Layer]) -> list[Layer]:
        if self.most is None or self.most >= len(layers):
            return layers
        # The middles of as many equal parts: neither the first nor the last layer is special.
        return [layers[(2 * i + 1) * len(layers) // (2 * self.most)] for i in range(self.most)]

    def _named(self, layers: Sequence[Layer]) -> list[Layer]:
        for pattern in self.patterns:
            if not any(fnmatchcase(layer.name, pattern) for layer in layers):
                raise SourceError(
                    f"--layer {pattern!r} is the name of none of {len(layers)} layers: "
                    f"{', '.join(layer.name for layer in layers)}"
                )
        return [x for x in layers if any(fnmatchcase(x.name, each) for each in self.patterns)]


def parse_layers(texts: Sequence[str]) -> LayerChoice:
    """Read what a user says of layers.

    Args:
        texts: One whole number, or names and patterns; each may hold several with commas.

    Raises:
        SourceError: If a number is below 1, or stands beside something else.
    """
    parts = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    numbers = [part for part in parts if part.removeprefix("-").isdecimal()]
    if not numbers:
        return LayerChoice(patterns=tuple(parts))
    if len(parts) > 1 or int(numbers[0]) < 1:
        raise SourceError(
            f"--layer {','.join(parts)!r} cannot be read; allowed: how many, at least 1, or names "
            "and patterns with commas, such as up.*,middle"
        )
    return LayerChoice(most=int(numbers[0]))
