"""What a graph that looks at images takes and gives, and what is refused about it.

It reads graphs, and must not know sessions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto

from graftscope.bundle import ImageLayout, NetworkDescription, Preprocessing
from graftscope.server.errors import InvalidInput, ModelRefused

_KINDS: Final[Mapping[int, np.dtype[np.generic]]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.DOUBLE: np.dtype(np.float64),
    TensorProto.UINT8: np.dtype(np.uint8),
}
_CHANNELS: Final = (1, 3)
_AXES: Final = {ImageLayout.NCHW: (1, 2, 3), ImageLayout.NHWC: (3, 1, 2)}
"""Where channels, height and width are."""

ImageShape = tuple[int, int, int]
"""Channels, height and width of the images that come."""


class Reads(StrEnum):
    """What is read from a network that has several outputs."""

    FEATURES = "features"
    SCORES = "scores"


@dataclass(frozen=True)
class NetworkForm:
    """What a network takes and gives.

    Attributes:
        input: name of its input.
        dtype: of the input.
        batch: how many images it takes at a time; 0 for any number.
        channels: how many its images have.
        preprocessing: what is done to images, their size told.
        output: name of the output that is read.
        sized: whether the graph itself tells the shape of its images.
    """

    input: str
    dtype: np.dtype[np.generic]
    batch: int
    channels: int
    preprocessing: Preprocessing
    output: str
    sized: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image as the network takes it, without the batch."""
        size = self.preprocessing.height, self.preprocessing.width
        nchw = self.preprocessing.layout is ImageLayout.NCHW
        return (self.channels, *size) if nchw else (*size, self.channels)


def network_form(
    model: ModelProto,
    description: NetworkDescription,
    images: ImageShape,
    *,
    stated: Preprocessing | None = None,
    reads: Reads = Reads.FEATURES,
    output: str = "",
) -> NetworkForm:
    """Find out how images are given to a network, and what is read from it.

    Args:
        model: the graph.
        description: what its file says of itself.
        images: what will be given to it.
        stated: the preprocessing, where somebody states it; else it is the file's, else guessed
            from the input's shape.
        reads: which output is read where none is named: the one that the file says; else of
            features the first, of scores the last with two axes.
        output: name of the output that is read.

    Raises:
        ModelRefused: the graph does not take one image, or gives no tensor.
        InvalidInput: the preprocessing or the output does not fit the graph.
    """
    value = _only_input(model)
    extents = _extents(value)
    given = stated or description.preprocessing or Preprocessing(layout=_likely_layout(extents))
    axes = _AXES[given.layout]
    channels, height, width = (extents[axis] for axis in axes)
    if (channels or images[0]) not in _CHANNELS:
        raise InvalidInput(
            f"input {value.name!r} of shape {_told(extents)} has {channels or images[0]} channels"
            f" in layout {given.layout}; 1 or 3 are needed",
            field="preprocessing.layout",
        )
    size = [
        _size(name, getattr(given, name), fixed, own)
        for name, fixed, own in zip(("height", "width"), (height, width), images[1:], strict=True)
    ]
    form = NetworkForm(
        input=value.name,
        dtype=_dtype(value),
        batch=extents[0],
        channels=channels or images[0],
        preprocessing=replace(given, height=size[0], width=size[1]),
        output=_output(model, description, reads, output),
        sized=0 not in extents[1:],
    )
    _require_channels(form, images)
    return form


def _only_input(model: ModelProto) -> ValueInfoProto:
    stored = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs) or "none"
        raise ModelRefused(f"it has {len(inputs)} inputs ({names}); one, the images, is needed")
    return inputs[0]


def _extents(value: ValueInfoProto) -> list[int]:
    """The input's extents, 0 for those that are free."""
    shape = value.type.tensor_type.shape
    if not value.type.HasField("tensor_type") or len(shape.dim) != 4:
        raise ModelRefused(
            f"input {value.name!r} has {len(shape.dim)} axes; 4 are needed: batch, channels, height"
            " and width, in the order of a layout"
        )
    return [max(each.dim_value, 0) for each in shape.dim]


def _dtype(value: ValueInfoProto) -> np.dtype[np.generic]:
    kind = value.type.tensor_type.elem_type
    if kind not in _KINDS:
        name = TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else kind
        raise ModelRefused(
            f"input {value.name!r} takes {name}; FLOAT, FLOAT16, DOUBLE or UINT8 is needed"
        )
    return _KINDS[kind]


def _likely_layout(extents: Sequence[int]) -> ImageLayout:
    last = extents[1] not in (0, *_CHANNELS) and extents[3] in _CHANNELS
    return ImageLayout.NHWC if last else ImageLayout.NCHW


def _size(name: str, stated: int, fixed: int, own: int) -> int:
    if stated and fixed and stated != fixed:
        raise InvalidInput(
            f"preprocessing has {name} {stated}, but the network takes {fixed} alone",
            field=f"preprocessing.{name}",
        )
    return stated or fixed or own


def _output(model: ModelProto, description: NetworkDescription, reads: Reads, wanted: str) -> str:
    tensors = [each for each in model.graph.output if each.type.HasField("tensor_type")]
    if not tensors:
        raise ModelRefused("none of its outputs is a tensor")
    names = [each.name for each in tensors]
    name = wanted or (description.features if reads is Reads.FEATURES else description.scores)
    if name and name not in names:
        raise InvalidInput(
            f"output {name!r} is not in the network; it has: {', '.join(names)}", field="output"
        )
    flat = [each.name for each in tensors if len(each.type.tensor_type.shape.dim) == 2]
    return name or (names[0] if reads is Reads.FEATURES or not flat else flat[-1])


def _require_channels(form: NetworkForm, images: ImageShape) -> None:
    if images[0] not in (1, form.channels):
        raise InvalidInput(
            f"the images have {images[0]} channels, and the network takes {form.channels}"
        )
    for name in ("mean", "deviation"):
        given = len(getattr(form.preprocessing, name))
        if given not in (1, form.channels):
            raise InvalidInput(
                f"preprocessing has {given} numbers as {name}; one, or one for each of the"
                f" {form.channels} channels, is needed",
                field=f"preprocessing.{name}",
            )


def _told(extents: Sequence[int]) -> str:
    return "(" + ", ".join(str(each) if each else "any" for each in extents) + ")"
