"""What a caller says of a source beyond where it lies; a kind of source may take a part of it.

    --input z=truncated:0.7 --input label=classes:10 --input w=file:W.npz --shape z=100,1,1

It knows neither graphs nor PyTorch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from graftscope.exporter._input_choices import InputChoice
from graftscope.exporter.errors import SourceError

OPTIONS: Final = {
    "inputs": "--input",
    "shapes": "--shape",
    "output": "--output",
    "image_range": "--range",
    "image_shape": "--image-shape",
    "weights": "--weights",
}
"""What is said of a source, by the attribute."""

Shape = tuple[int, ...]
"""Extents behind the batch."""


@dataclass(frozen=True)
class Options:
    """What a caller says of a source.

    Attributes:
        inputs: Distributions by the input's name; may be empty.
        shapes: Shapes behind the batch by the input's name; may be empty.
        output: The output that is the image; None leaves it to the source.
        image_range: The least and the largest value of an image's pixel; None likewise.
        image_shape: The image's channels, height and width, where the source gives flat ones.
        weights: FILE or FILE:KEY of weights; None where the source holds its own.
    """

    inputs: Mapping[str, InputChoice] = field(default_factory=dict)
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    output: str | None = None
    image_range: tuple[float, float] | None = None
    weights: str | None = None
    image_shape: Shape | None = None

    def refuse(self, source: str, *options: str) -> None:
        """Refuse what a kind of source has no use for.

        Args:
            source: The kind, for the message.
            options: Names of attributes that must not be given.

        Raises:
            SourceError: If one is given.
        """
        given = [OPTIONS[name] for name in options if getattr(self, name)]
        if given:
            raise SourceError(f"{', '.join(given)} cannot be given for {source}, which tells it")


def require_image_shape(extents: Sequence[int] | None) -> Shape | None:
    """Return the shape of images as it is given, if it is one.

    Args:
        extents: Channels, height and width; None where nothing is said.

    Raises:
        SourceError: If it is no such shape.
    """
    if extents is None:
        return None
    if len(extents) != 3 or min(extents) < 1 or not {extents[0], extents[2]} & {1, 3, 4}:
        raise SourceError(
            f"--image-shape {','.join(map(str, extents))} is no image's; allowed are channels, "
            "height and width, such as 1,28,28, with 1, 3 or 4 channels, first or last"
        )
    return tuple(extents)


def parse_shapes(texts: Sequence[str]) -> dict[str, Shape]:
    """Read what a user says of shapes.

    Args:
        texts: Each `NAME=EXTENT,EXTENT`, such as `z=100,1,1`, without the batch; `NAME=` for an
            input of one number a sample; `NAME=0` for labels of no width, which are no input.

    Raises:
        SourceError: If one has another form, or an input is named twice.
    """
    shapes: dict[str, Shape] = {}
    for text in texts:
        name, equals, rest = text.rpartition("=")  # a name may hold others
        extents = rest.split(",") if rest else []
        fitting = extents == ["0"] or all(
            each.isascii() and each.isdigit() and int(each) > 0 for each in extents
        )
        if not (name and equals and fitting):
            raise SourceError(
                f"--shape {text!r} cannot be read; allowed: NAME=EXTENT,EXTENT without the batch, "
                "such as z=100,1,1"
            )
        if name in shapes:
            raise SourceError(f"--shape is given twice for {name!r}; once is allowed")
        shapes[name] = tuple(map(int, extents))
    return shapes
