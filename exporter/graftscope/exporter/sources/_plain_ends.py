"""A generator's ends in plain form, float32 and channels first, and its source told from them.

    types = in_float32(model)
    ends = plain_ends(model)
    run = ends.reference(run)  # takes and gives what the graph does now

Sources have images and inputs in other layouts and types. The graph is changed, in place, and what
it was made from is fed and read accordingly, so that the proof compares like with like.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._subject import Agreement, Arrays, Reference
from graftscope.exporter.sources._image import CHANNELS, interval_of
from graftscope.graph import (
    Dequantised,
    before_rounding,
    image_channels_first,
    image_in_float32,
    image_of,
    image_without_rounding,
    input_channels_first,
    is_channels_last,
)

_TO_FIRST: Final = (0, 3, 1, 2)
_TO_LAST: Final = (0, 2, 3, 1)
_NAMES: Final = {ir.DataType.DOUBLE: "float64"}
_ABOVE_WHOLE: Final = 256.0
"""What is below it is at most 255 once its fraction is cut off."""


@dataclass(frozen=True)
class Ends:
    """How a source differs from its graph at the ends.

    Attributes:
        inputs_last: Names of the inputs that are (B, H, W, C) in the source.
        image_last: Whether its image is.
        rounded: Whether its image is rounded to whole numbers, and the graph's is not.
        steps: Whether both are.
        notes: What was changed; one line each.
    """

    inputs_last: frozenset[str]
    image_last: bool
    rounded: bool
    steps: bool
    notes: tuple[str, ...]

    @property
    def range(self) -> tuple[float, float] | None:
        """The range of an image that is whole numbers in the source; None where it is not."""
        return (0.0, 255.0) if self.rounded or self.steps else None

    def agreement(self, inside: Agreement, width: float) -> Agreement:
        """Return how far images may be apart, with the steps of whole numbers at the end.

        Args:
            inside: What the rounding on the way allows.
            width: Of the images' range.
        """
        at_end, in_both = (1.0 / width if each else 0.0 for each in (self.range, self.steps))
        usual = inside.usual_source, inside.usual_halves
        return Agreement(
            inside.source + at_end,
            inside.halves + in_both,
            None if usual[0] is None else usual[0] + at_end,
            None if usual[1] is None else usual[1] + in_both,
        )

    def reference(self, source: Reference) -> Reference:
        """Return the source as a function of the graph's inputs that gives the graph's image."""

        def compute(inputs: Arrays, /) -> Sequence[NDArray[np.float32]]:
            (image,) = source(self._as_in_source(inputs))
            image = image.astype(np.float32, copy=False)
            return [image.transpose(_TO_FIRST) if self.image_last else image]

        return compute

    def _as_in_source(self, inputs: Arrays) -> Mapping[str, NDArray[np.generic]]:
        return {
            name: array.transpose(_TO_LAST) if name in self.inputs_last else array
            for name, array in inputs.items()
        }


def type_changes(types: Mapping[str, ir.DataType]) -> tuple[str, ...]:
    """Say what a source computes in other types, and its graph in float32.

    Args:
        types: From `compute_in_float32`.
    """
    counts = Counter(_NAMES.get(dtype, dtype.name.lower()) for dtype in types.values())
    return tuple(
        f"computed in float32: what is {name} in the source ({count} of its tensors)"
        for name, count in counts.items()
    )


def quantisation_changes(found: Dequantised) -> tuple[str, ...]:
    """Say how what a source quantises is computed.

    Args:
        found: From `dequantise`.
    """
    parts = []
    if found.rounded:
        parts.append(f"{found.rounded} tensors are rounded to the steps of the source's scales")
    if found.measured:
        parts.append(
            f"{found.measured} tensors are rounded to scales that are measured for each sample by "
            "itself, where the source measures them over a batch"
        )
    return tuple(f"quantised: computed in float32; {part}" for part in parts)


def plain_ends(model: ir.Model, *, inputs: bool = True) -> Ends:
    """Bring the image, and images among the inputs, into plain form.

    Args:
        model: A generator whose image has a known shape, in float32 or of whole numbers; changed
            in place.
        inputs: Whether inputs may be turned too; else they stay as they are.
    """
    graph, notes = model.graph, list[str]()
    image = image_of(graph)
    last = is_channels_last(graph, image, CHANNELS)
    if last:
        notes.append(f"image {image.name!r} {image.shape}: channels last; taken as (B, C, H, W)")
    whole = image.dtype is ir.DataType.UINT8
    inexact = whole and _is_told(before_rounding(graph))
    if inexact:
        notes.append(f"image {image.name!r} UINT8: taken before it is rounded to whole numbers")
        image_without_rounding(graph)
    elif whole:
        notes.append(f"image {image.name!r} UINT8: cast to float32")
        image_in_float32(graph)
    if last:
        image_channels_first(graph)
    given = graph.inputs if inputs else ()
    turned = [each for each in given if is_channels_last(graph, each, CHANNELS)]
    for value in turned:
        notes.append(f"input {value.name!r} {value.shape}: channels last; taken as (B, C, H, W)")
        input_channels_first(graph, value)
    names = frozenset(str(value.name) for value in turned)
    return Ends(names, last, inexact, whole and not inexact, tuple(notes))


def _is_told(value: ir.Value | None) -> bool:
    """Tell whether a tensor is known to stay within what a byte holds."""
    told = None if value is None else interval_of(value)
    return told is not None and told[0] >= 0 and told[1] < _ABOVE_WHOLE
