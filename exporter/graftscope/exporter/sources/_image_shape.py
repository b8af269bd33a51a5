"""Images that are no (B, C, H, W): flat ones, whose shape a user gives, and those without a batch.

The graph is changed at its end, and what it was made from is told from it by `ImageForm.reference`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._options import Shape
from graftscope.exporter._subject import Arrays, Reference
from graftscope.exporter.errors import SourceError
from graftscope.exporter.sources._image import CHANNELS, choose_output, listed, may_be_image
from graftscope.graph import keep_batch, reshape_output, static_extents

_ALONE: Final = "its image has no axis for samples"
_LEAST_SIDE: Final = 8
"""Fewer numbers than such an image has are more likely a classifier's."""


@dataclass(frozen=True)
class ImageForm:
    """What was done to a graph's image.

    Attributes:
        extents: The image's extents behind the batch in the source's order of elements, where the
            source has another shape; else None.
        alone: Why samples are computed one by one; empty where they need not be.
        notes: What was chosen or changed; one line each.
    """

    extents: Shape | None
    alone: str
    notes: tuple[str, ...]

    def reference(self, source: Reference) -> Reference:
        """Return the source as a function that gives images (B, *extents)."""
        extents = self.extents
        if extents is None:
            return source

        def compute(inputs: Arrays, /) -> Sequence[NDArray[np.float32]]:
            (image,) = source(inputs)
            return [image.reshape(-1, *extents)]

        return compute


def choose_image(graph: ir.Graph, output: str | None, shape: Shape | None) -> ImageForm:
    """Leave a graph the one output that is the image, with four axes.

    Args:
        graph: A graph in plain form; changed in place.
        output: The output's name; None takes the only one that may be meant.
        shape: The image's shape behind the batch, where the output is flat.

    Raises:
        SourceError: If there is no such output, or none or several look like an image.
    """
    named = [value for value in graph.outputs if output in (None, value.name)]
    if shape is not None and named:
        return _shaped(graph, named, shape)
    lacking = [value for value in named if _lacks_batch(value)]
    if len(lacking) == 1 and not any(map(may_be_image, named)):
        return _given_batch(graph, lacking[0])
    try:
        return ImageForm(None, "", choose_output(graph, output))
    except SourceError as error:
        raise SourceError(f"{error}{_suggestion(named)}") from error


def _shaped(graph: ir.Graph, outputs: Sequence[ir.Value], shape: Shape) -> ImageForm:
    value = _of_as_many(outputs, shape)
    name, before = value.name, value.shape
    reshape_output(graph, value, shape)
    notes = choose_output(graph, name)
    told = f"output {name!r} {before}: taken as images {shape}, channels, height and width"
    return ImageForm(shape, "", (*notes, told))


def _given_batch(graph: ir.Graph, value: ir.Value) -> ImageForm:
    name, extents = value.name, tuple(value.shape.numpy()) if value.shape is not None else ()
    if not keep_batch(value):
        if extents[0] != 1:
            raise SourceError(
                f"image {name!r} {list(extents)} has no axis for samples, and that axis is not "
                "removed at the graph's end: export the graph with images (B, C, H, W)"
            )
        # The 1 is the batch, and grey images lack an axis for their one channel; or likewise.
        reshape_output(graph, value, extents)
    notes = choose_output(graph, name)
    told = f"image {name!r} {list(extents)} has no axis for samples; it is given one"
    return ImageForm(extents, _ALONE, (*notes, told))


def _suggestion(outputs: Sequence[ir.Value]) -> str:
    """Say with which `--image-shape` an output might be an image; empty where none might."""
    for value in outputs:
        extents = static_extents(value) or ()
        grey = (1, *extents) if len(extents) == 2 else None
        shape = _square(extents[0]) if len(extents) == 1 else grey
        if shape is not None:
            return (
                f"; if the numbers of {value.name!r} are pixels, say how many channels, rows and "
                f"columns, such as --image-shape {','.join(map(str, shape))}"
            )
    return ""


def _square(count: int) -> Shape | None:
    """Return the square image of so many pixels, grey or coloured."""
    for channels in CHANNELS:
        side = math.isqrt(count // channels)
        if side >= _LEAST_SIDE and channels * side * side == count:
            return channels, side, side
    return None


def _of_as_many(values: Sequence[ir.Value], shape: Shape) -> ir.Value:
    """Return the one output with as many elements a sample as an image has."""
    count = math.prod(shape)
    fitting = [each for each in values if math.prod(static_extents(each) or (0,)) == count]
    if len(fitting) == 1:
        return fitting[0]
    form = ",".join(map(str, shape))
    if fitting:
        raise SourceError(
            f"several outputs have the {count} elements of --image-shape {form}; name one with "
            f"--output: {listed(fitting)}"
        )
    raise SourceError(
        f"--image-shape {form} has {count} elements, and no output has as many a sample: "
        f"{listed(values)}"
    )


def _lacks_batch(value: ir.Value) -> bool:
    """Tell whether an output is of one image alone, (C, H, W) or (H, W, C)."""
    if value.shape is None or len(value.shape) != 3 or not value.shape.is_static():
        return False
    first, *_, last = value.shape.numpy()
    return first in CHANNELS or last in CHANNELS
