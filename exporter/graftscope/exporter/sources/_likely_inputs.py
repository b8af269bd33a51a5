"""What an input of a module's method may be: its shape and datatype, guessed or as it is said.

Shapes come from a latent size among the module's attributes, then from what its linear parts take,
numbers of classes from its tables. It runs nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from graftscope.codec import DATATYPES
from graftscope.exporter._input_choices import InputChoice, InputKind
from graftscope.exporter._input_values import load_array
from graftscope.exporter._known_input import KnownInput
from graftscope.exporter._options import Shape
from graftscope.exporter.errors import SourceError

_LATENT_SIZES: Final = ("latent_dim", "latent_size", "z_dim", "dim_z", "z_size", "nz", "noise_dim")
"""Attributes in which authors keep how long a latent is."""

_DATATYPES: Final = {"b": "BOOL", "i": "INT64", "u": "INT64", "f": "FP32"}


@dataclass(frozen=True)
class LikelyInput:
    """An input as it may be meant.

    Attributes:
        known: What is known of it.
        choice: Its distribution.
    """

    known: KnownInput
    choice: InputChoice

    def example(self, batch: int) -> Tensor:
        """Return some samples."""
        shape = (batch, *self.known.shape)
        if self.known.datatype == "FP32":
            return torch.randn(shape, generator=torch.Generator().manual_seed(0))
        # The largest label is among them, so that it is tried.
        largest = (self.known.classes or 1) - 1
        labels = np.minimum(np.arange(math.prod(shape)) * largest, largest).reshape(shape)
        return torch.from_numpy(labels.astype(DATATYPES[self.known.datatype]))


def likely_inputs(
    module: nn.Module, name: str, choice: InputChoice | None, shape: Shape | None
) -> Iterator[LikelyInput]:
    """Yield what an input may be, the likeliest first.

    Args:
        module: Whose attributes and parts tell shapes and numbers of classes.
        name: The input's.
        choice: Its distribution, if it is said.
        shape: Its shape behind the batch, if it is said.

    Raises:
        SourceError: If a file cannot be read, or a shape must be said.
    """
    if choice is None:
        normal = InputChoice(name, InputKind.NORMAL)
        for tried in _float_shapes(module) if shape is None else [shape]:
            yield LikelyInput(KnownInput(name, "FP32", tried), normal)
        for classes in _class_counts(module) if not shape else []:
            label = InputChoice(name, InputKind.CLASSES, (float(classes),))
            yield LikelyInput(KnownInput(name, "INT64", (), classes), label)
    else:
        for known in _known(module, name, choice, shape):
            yield LikelyInput(known, choice)


def _known(
    module: nn.Module, name: str, choice: InputChoice, shape: Shape | None
) -> Iterator[KnownInput]:
    """Yield what an input may be whose distribution is said, the likeliest first."""
    match choice.kind:
        case InputKind.IMAGES:
            yield KnownInput(name, "FP32", _image_shape(name, shape))
        case InputKind.CONSTANT | InputKind.FILE if choice.path is not None:
            yield _known_from_file(choice, choice.path, shape)
        case InputKind.CLASSES:
            yield KnownInput(name, "INT64", shape or (), int(choice.numbers[0]))
        case InputKind.ONE_HOT:
            count = int(choice.numbers[0])
            for tried in [(count,), (count, 1, 1)] if shape is None else [shape]:
                yield KnownInput(name, "FP32", tried)
        case InputKind.CHOICE | InputKind.CONSTANT:
            yield KnownInput(name, "FP32", shape or ())
            if all(map(float.is_integer, choice.numbers)):
                yield KnownInput(name, "INT64", shape or ())
        case _:
            for tried in (*_float_shapes(module), ()) if shape is None else [shape]:
                yield KnownInput(name, "FP32", tried)


def _image_shape(name: str, shape: Shape | None) -> Shape:
    if shape is None:
        raise SourceError(
            f"input {name!r} takes images, and their size must be given: --shape {name}=C,H,W, "
            f"such as --shape {name}=3,64,64"
        )
    return shape


def _float_shapes(module: nn.Module) -> tuple[Shape, ...]:
    sizes = [getattr(module, name, None) for name in _LATENT_SIZES]
    shapes: list[Shape] = []
    for size in sizes:
        if isinstance(size, int) and size > 0:
            shapes += [(size,), (size, 1, 1)]
    for part in module.modules():
        if isinstance(part, nn.Linear):
            shapes.append((part.in_features,))
        elif isinstance(part, nn.ConvTranspose2d):
            shapes.append((part.in_channels, 1, 1))
    return tuple(dict.fromkeys(shapes))


def _class_counts(module: nn.Module) -> tuple[int, ...]:
    tables = (part for part in module.modules() if isinstance(part, nn.Embedding))
    return tuple(dict.fromkeys(table.num_embeddings for table in tables))


def _known_from_file(choice: InputChoice, path: Path, shape: Shape | None) -> KnownInput:
    array = load_array(choice.name, path)
    datatype = _DATATYPES.get(array.dtype.kind)
    if datatype is None:
        raise SourceError(f"input {choice.name!r}: {path} holds {array.dtype}, which is no number")
    if shape is None:
        # A constant may lack the axis of samples.
        samples = choice.kind is InputKind.FILE or array.shape[:1] == (1,)
        shape = array.shape[1:] if samples else array.shape
    return KnownInput(choice.name, datatype, shape)
