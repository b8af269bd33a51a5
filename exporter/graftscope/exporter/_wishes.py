"""What a caller says of a source beyond where it lies; a kind of source may take a part of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from graftscope.exporter._inputs import InputChoice
from graftscope.exporter.errors import SourceError

_OPTIONS: Final = {
    "inputs": "--input",
    "shapes": "--shape",
    "output": "--output",
    "image_range": "--range",
    "weights": "--weights",
}


@dataclass(frozen=True)
class Wishes:
    """What a caller says of a source.

    Attributes:
        inputs: Distributions by the input's name; may be empty.
        shapes: Shapes of inputs, `NAME=100,1,1`; may be empty.
        output: The output that is the image; None leaves it to the source.
        image_range: The least and the largest value of an image's pixel; None likewise.
        weights: A file of weights; None where the source holds its own.
    """

    inputs: Mapping[str, InputChoice] = field(default_factory=dict)
    shapes: tuple[str, ...] = ()
    output: str | None = None
    image_range: tuple[float, float] | None = None
    weights: Path | None = None

    def refuse(self, source: str, *options: str) -> None:
        """Refuse what a kind of source has no use for.

        Args:
            source: The kind, for the message.
            options: Names of attributes that must not be given.

        Raises:
            SourceError: If one is given.
        """
        given = [_OPTIONS[name] for name in options if getattr(self, name)]
        if given:
            raise SourceError(f"{', '.join(given)} cannot be given for {source}, which tells it")
