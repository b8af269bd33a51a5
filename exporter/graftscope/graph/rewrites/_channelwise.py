"""Steps that mix nothing but places of a channel, or of a group of channels: what they are on what.

Between two convolutions a block normalises, scales, and bends, each channel or group of channels by
itself. Such a step gives the same of fewer places, if all were repeated equally often, and the same
of some groups alone. Letters: N images, C channels, G groups of them, M channels of a part.

Steps are:

1. Elementwise operations of one input.
2. `Add`, `Sub`, `Mul` and `Div` of images with each other, or with numbers that do not depend on
   the place: constants, or (N, C, 1, 1) as of a style.
3. `BatchNormalization`, and `InstanceNormalization` of images.
4. Group normalisation: `InstanceNormalization` between a `Reshape` to (N, G, ...) and one back.

It must not know what is done with them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping, Sequence
from math import prod
from typing import NamedTuple, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

from graftscope.graph._operations import operation
from graftscope.graph._values import ints
from graftscope.graph.rewrites._nodes import (
    extents,
    floats,
    image_extents,
    is_unary,
    only_use,
    unary,
    weights,
)

_BINARY = frozenset({"Add", "Div", "Mul", "Sub"})

Images = Mapping[ir.Value, ir.Value]
"""Images of the graph -> what takes their place."""


class Parts(Protocol):
    """Parts of the channels, M each, that steps are wanted of."""

    @property
    def channels(self) -> int:
        """M."""

    def of(self, numbers: ir.Value | NDArray[np.float32]) -> ir.Value:
        """Numbers a channel, (C,) or (N, C, 1, 1), of the parts: (E, 1 or N, M, 1, 1)."""


class Step(ABC):
    """One step, as it stands in the graph.

    Attributes:
        nodes: that make it up.
        images: what it reads, (N, C, h, w) each.
        mixed: how many channels it mixes: 1 where each is by itself.
    """

    nodes: tuple[ir.Node, ...]
    images: tuple[ir.Value, ...]
    mixed: int = 1

    @property
    def output(self) -> ir.Value:
        """What it gives, of the shape of what it reads, but for `Resized`."""
        return self.nodes[-1].outputs[0]

    @abstractmethod
    def whole(self, tape: Tape, images: Images) -> ir.Value:
        """The same of images with as many channels, of any height and width."""

    @abstractmethod
    def of_parts(self, tape: Tape, images: Images, parts: Parts) -> ir.Value:
        """The same of parts of the channels: (E, N, M, h, w) each."""


def step_at(node: ir.Node, known: Container[ir.Value]) -> Step | None:
    """The step that begins with a node and reads known images; None where there is none."""
    step = _step_at(node, known)
    if step is not None and extents(step.output, 4) is None:
        # Exporters leave out what stands behind a `Reshape` to a computed shape.
        _alike(step.output, step.images[0])
    return step


def _step_at(node: ir.Node, known: Container[ir.Value]) -> Step | None:
    kind, source = operation(node), node.inputs[0] if node.inputs else None
    if kind in _BINARY:
        return Binary.of(node, known)
    if source is None or source not in known:
        return None
    if is_unary(node):
        return Elementwise(node, source)
    return _NORMALISED[kind](node, source) if kind in _NORMALISED else None


class Elementwise(Step):
    """An operation of one input."""

    def __init__(self, node: ir.Node, source: ir.Value) -> None:
        self.nodes, self.images = (node,), (source,)

    def whole(self, tape: Tape, images: Images) -> ir.Value:
        """As `Step`."""
        return unary(tape, self.nodes[0], images[self.images[0]])

    def of_parts(self, tape: Tape, images: Images, parts: Parts) -> ir.Value:
        """As `Step`."""
        del parts
        return unary(tape, self.nodes[0], images[self.images[0]])


class Binary(Step):
    """Images with images, or with what does not depend on the place."""

    def __init__(self, node: ir.Node, images: tuple[ir.Value, ...]) -> None:
        self.nodes, self.images = (node,), images

    @classmethod
    def of(cls, node: ir.Node, known: Container[ir.Value]) -> "Binary | None":
        """None where an operand is something else."""
        images = tuple(x for x in node.inputs if x is not None and x in known)
        shapes = {extents(x, 4) for x in images}
        shape = shapes.pop() if len(shapes) == 1 else None
        if shape is None:
            return None
        others = (x for x in node.inputs if x is not None and x not in images)
        return cls(node, images) if all(_is_flat(x, shape[0]) for x in others) else None

    def whole(self, tape: Tape, images: Images) -> ir.Value:
        """As `Step`."""
        (node,) = self.nodes
        inputs = [x if x is None else images.get(x, x) for x in node.inputs]
        return _alike(copied(tape, node, inputs), images[self.images[0]])

    def of_parts(self, tape: Tape, images: Images, parts: Parts) -> ir.Value:
        """As `Step`."""
        (node,) = self.nodes
        given = [x for x in node.inputs if x is not None]
        return copied(tape, node, [images[x] if x in images else _flat(x, parts) for x in given])


class BatchNormalised(Step):
    """A normalisation by numbers that are known."""

    def __init__(self, node: ir.Node, source: ir.Value, affine: "_Affine") -> None:
        self.nodes, self.images, self._affine = (node,), (source,), affine

    @classmethod
    def of(cls, node: ir.Node, source: ir.Value) -> "BatchNormalised | None":
        """None where numbers are computed, or what is normalised are no images."""
        gain, shift, mean, variance = (weights(x) for x in node.inputs[1:5])
        if gain is None or shift is None or mean is None or variance is None:
            return None
        if extents(source, 4) is None or len(node.outputs) != 1:
            return None
        epsilon = node.attributes.get_float("epsilon", 1e-5)
        scale = gain / np.sqrt(variance.astype(np.float64) + epsilon)
        return cls(
            node, source, _Affine(*(x.astype(np.float32) for x in (scale, shift - mean * scale)))
        )

    def whole(self, tape: Tape, images: Images) -> ir.Value:
        """As `Step`."""
        image = images[self.images[0]]
        return _alike(copied(tape, self.nodes[0], [image, *self.nodes[0].inputs[1:]]), image)

    def of_parts(self, tape: Tape, images: Images, parts: Parts) -> ir.Value:
        """As `Step`."""
        return self._affine.of_parts(tape, images[self.images[0]], parts)


class GroupNormalised(Step):
    """A normalisation by the statistics of every channel, or of every group of them."""

    def __init__(
        self, nodes: tuple[ir.Node, ...], node: ir.Node, source: ir.Value, affine: "_Affine"
    ) -> None:
        self.nodes, self.images = nodes, (source,)
        self._node, self._affine = node, affine
        self._shape = image_extents(source)
        self._groups = len(affine.gain)
        self.mixed = self._shape[0] // self._groups

    @classmethod
    def of(
        cls, nodes: tuple[ir.Node, ...], node: ir.Node, source: ir.Value
    ) -> "GroupNormalised | None":
        """By one `InstanceNormalization` among some nodes; None where its numbers are computed."""
        gain, shift = weights(node.inputs[1]), weights(node.inputs[2])
        shape = extents(source, 4)
        if gain is None or shift is None or shape is None or shape[0] % len(gain):
            return None
        return cls(nodes, node, source, _Affine(gain, shift))

    @classmethod
    def between(cls, first: ir.Node, source: ir.Value) -> "GroupNormalised | None":
        """The one between a `Reshape` to groups and one back; None where there is none."""
        node = only_use(first.outputs[0])
        if node is None or operation(node) != "InstanceNormalization":
            return None
        last = only_use(node.outputs[0])
        step = cls.of((first, node), node, source)
        if step is None or last is None or operation(last) != "Reshape":
            return None
        groups = step._groups
        if not _is_shape(first, (groups, -1), (groups, step.mixed * prod(step._shape[1:]))):
            return None
        back = last.inputs[1]
        shaper = back.producer() if back is not None else None
        restores = shaper is not None and is_shape_of(shaper, source)
        if not restores and not _is_shape(last, step._shape):
            return None
        return cls((first, node, last), node, source, step._affine)

    def whole(self, tape: Tape, images: Images) -> ir.Value:
        """As `Step`."""
        image = images[self.images[0]]
        if len(self.nodes) == 1:
            return _alike(copied(tape, self._node, [image, *self._node.inputs[1:]]), image)
        grouped = tape.op("Reshape", [image, ints(tape, (0, self._groups, -1))])
        normal = copied(tape, self._node, [grouped, *self._node.inputs[1:]])
        return _alike(tape.op("Reshape", [normal, tape.op("Shape", [image])]), image)

    def of_parts(self, tape: Tape, images: Images, parts: Parts) -> ir.Value:
        """As `Step`."""
        image = images[self.images[0]]
        groups = parts.channels // self.mixed
        rows = (-1, groups, self.mixed * prod(self._shape[1:]))
        epsilon = {"epsilon": self._node.attributes.get_float("epsilon", 1e-5)}
        alone = [floats(tape, np.ones(groups)), floats(tape, np.zeros(groups))]
        grouped = tape.op("Reshape", [image, ints(tape, rows)])
        normal = tape.op("InstanceNormalization", [grouped, *alone], epsilon)
        split = tape.op("Reshape", [normal, tape.op("Shape", [image])])
        affine = _Affine(*(np.repeat(x, self.mixed) for x in self._affine))
        return affine.of_parts(tape, split, parts)


class Resized(Step):
    """An interpolation of each channel to another size: what it gives depends on the places.

    So it is none that `step_at` finds; who asks for it takes care of the places.
    """

    def __init__(self, node: ir.Node, source: ir.Value) -> None:
        self.nodes, self.images = (node,), (source,)

    @classmethod
    def at(cls, node: ir.Node, known: Container[ir.Value]) -> "Resized | None":
        """By constant factors; None where a node is something else."""
        source = node.inputs[0] if node.inputs else None
        if operation(node) != "Resize" or source is None or source not in known:
            return None
        before, after = extents(source, 4), extents(node.outputs[0], 4)
        scales = weights(node.inputs[2]) if len(node.inputs) > 2 else None
        if before is None or after is None or scales is None or scales.shape != (4,):
            return None
        by_places = before[0] == after[0] and scales[:2].tolist() == [1, 1]
        return cls(node, source) if by_places else None

    def whole(self, tape: Tape, images: Images) -> ir.Value:
        """As `Step`."""
        image = images[self.images[0]]
        return _alike(copied(tape, self.nodes[0], [image, *self.nodes[0].inputs[1:]]), self.output)

    def of_parts(self, tape: Tape, images: Images, parts: Parts) -> ir.Value:
        """As `Step`."""
        image = images[self.images[0]]
        (height, width), (tall, wide) = (
            image_extents(x)[1:] for x in (self.images[0], self.output)
        )
        rows = ints(tape, (-1, parts.channels, height, width))
        flat = tape.op("Reshape", [image, rows])
        resized = copied(tape, self.nodes[0], [flat, *self.nodes[0].inputs[1:]])
        outer = tape.op("Shape", [image], {"start": 0, "end": 2})
        inner = ints(tape, (parts.channels, tall, wide))
        return tape.op("Reshape", [resized, tape.op("Concat", [outer, inner], {"axis": 0})])


_NORMALISED: dict[str, Callable[[ir.Node, ir.Value], Step | None]] = {
    "BatchNormalization": BatchNormalised.of,
    "InstanceNormalization": lambda node, source: GroupNormalised.of((node,), node, source),
    "Reshape": GroupNormalised.between,
}


class _Affine(NamedTuple):
    """By what a normalisation multiplies, and what it adds, (C,) or (G,)."""

    gain: NDArray[np.float32]
    shift: NDArray[np.float32]

    def of_parts(self, tape: Tape, value: ir.Value, parts: Parts) -> ir.Value:
        if not (self.gain == 1).all():
            value = tape.op("Mul", [value, parts.of(self.gain)])
        if self.shift.any():
            value = tape.op("Add", [value, parts.of(self.shift)])
        return value


def copied(tape: Tape, node: ir.Node, inputs: Sequence[ir.Value | None]) -> ir.Value:
    """The operation on other inputs, its first output."""
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    return tape.op(node.op_type, inputs, attributes)


def is_shape_of(node: ir.Node, value: ir.Value) -> bool:
    """Whether a node gives all extents of a value."""
    return (
        operation(node) == "Shape"
        and node.inputs[0] is value
        and node.attributes.get_int("start", 0) == 0
        and "end" not in node.attributes
    )


def _is_shape(reshape: ir.Node, *shapes: Sequence[int]) -> bool:
    """Whether a `Reshape` keeps the images apart, and makes each of one of these shapes."""
    shape = weights(reshape.inputs[1])
    if shape is None or shape.ndim != 1:
        return False
    images, *inner = (int(x) for x in shape)
    return images in (0, -1) and tuple(inner) in {tuple(x) for x in shapes}


def _alike(value: ir.Value, image: ir.Value) -> ir.Value:
    value.shape, value.type = image.shape, ir.TensorType(ir.DataType.FLOAT)
    return value


def _is_flat(value: ir.Value, channels: int) -> bool:
    """Whether numbers do not depend on the place: constants, or computed ones (N, C, 1, 1)."""
    constant = weights(value)
    if constant is None:
        return extents(value, 4) == (channels, 1, 1)
    shape = (1,) * (4 - constant.ndim) + constant.shape
    return constant.size == 1 <= 5 - constant.ndim or shape == (1, channels, 1, 1)


def _flat(value: ir.Value, parts: Parts) -> ir.Value:
    constant = weights(value)
    if constant is None:
        return parts.of(value)
    return value if constant.size == 1 else parts.of(constant.reshape(-1))
