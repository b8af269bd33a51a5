"""What a user says of inputs' shapes: `z=100,1,1`."""

from collections.abc import Sequence

from graftscope.exporter.errors import SourceError

Shape = tuple[int, ...]
"""Extents behind the batch."""


def parse_shapes(texts: Sequence[str]) -> dict[str, Shape]:
    """Read what a user says of shapes.

    Args:
        texts: Each `NAME=EXTENT,EXTENT`, such as `z=100,1,1`, without the batch; `NAME=` for an
            input of one number a sample.

    Raises:
        SourceError: If one has another form, or an input is named twice.
    """
    shapes: dict[str, Shape] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        extents = rest.split(",") if rest else []
        fitting = all(each.isascii() and each.isdigit() and int(each) > 0 for each in extents)
        if not (name and equals and fitting):
            raise SourceError(
                f"--shape {text!r} cannot be read; allowed: NAME=EXTENT,EXTENT without the batch, "
                "such as z=100,1,1"
            )
        if name in shapes:
            raise SourceError(f"--shape is given twice for {name!r}; once is allowed")
        shapes[name] = tuple(map(int, extents))
    return shapes
