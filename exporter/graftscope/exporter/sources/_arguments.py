"""What a module's method takes: names from its signature, the rest from options or a dry run.

Rules
1. An input is a parameter without a default, or one that --input or --shape names.
2. The first float input is standard normal, and a label has as many classes as an `nn.Embedding`
   has rows, where nothing else is said. Every other distribution must be said.
3. A shape that is not said is tried: a latent size among the module's attributes, then what its
   linear parts take. The first with which the module runs, and gives images, is taken.

It knows no graph.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from itertools import islice, product
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from graftscope.codec import DATATYPES
from graftscope.exporter._input_choices import FORMS, InputChoice, InputKind
from graftscope.exporter._input_values import load_array
from graftscope.exporter._known_input import KnownInput
from graftscope.exporter._options import Options, Shape
from graftscope.exporter.errors import SourceError, one_line
from graftscope.exporter.sources._module import Made, MethodModule

_BATCH: Final = 2
_MOST_TRIES: Final = 200
_LATENT_SIZES: Final = ("latent_dim", "latent_size", "z_dim", "dim_z", "z_size", "nz", "noise_dim")
"""Attributes in which authors keep how long a latent is."""

_DATATYPES: Final = {"b": "BOOL", "i": "INT64", "u": "INT64", "f": "FP32"}


@dataclass(frozen=True)
class Arguments:
    """What a module's method is given.

    Attributes:
        known: Its inputs, in the order of the signature.
        choices: The distribution of each, by name.
        notes: What was guessed, one line each.
    """

    known: tuple[KnownInput, ...]
    choices: Mapping[str, InputChoice]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    """One way in which an input may be meant."""

    known: KnownInput
    choice: InputChoice
    guessed: bool

    def example(self) -> Tensor:
        """Return two samples."""
        shape = (_BATCH, *self.known.shape)
        if self.known.datatype == "FP32":
            return torch.randn(shape, generator=torch.Generator().manual_seed(0))
        # The largest label is among them, so that it is tried.
        largest = (self.known.classes or 1) - 1
        labels = np.minimum(np.arange(math.prod(shape)) * largest, largest).reshape(shape)
        return torch.from_numpy(labels.astype(DATATYPES[self.known.datatype]))


def find_arguments(made: Made, options: Options) -> Arguments:
    """Find out what the method takes, by trying where nothing is said.

    Args:
        made: The module and how it is called.
        options: What is said of its inputs.

    Raises:
        SourceError: If what is said does not fit the signature, an input's distribution or shape
            must be said, or the module cannot be run or gives no images.
    """
    names = _input_names(made, {*options.inputs, *options.shapes})
    candidates = [
        list(_candidates(made.module, name, options.inputs.get(name), options.shapes.get(name)))
        for name in names
    ]
    unsaid = [name for name in names if name not in options.inputs]
    chosen = _first_that_runs(made, candidates, unsaid)
    return Arguments(
        known=tuple(each.known for each in chosen),
        choices={each.known.name: each.choice for each in chosen},
        notes=tuple(_note(each) for each in chosen if each.guessed),
    )


def _input_names(made: Made, said: set[str]) -> list[str]:
    parameters = made.parameters()
    known = [parameter.name for parameter in parameters]
    if foreign := sorted(said.difference(known)):
        raise SourceError(
            f"{made.title} has no parameter {foreign[0]!r}; it has: {', '.join(known) or 'none'}"
        )
    names = [p.name for p in parameters if p.default is Parameter.empty or p.name in said]
    if not names:
        raise SourceError(
            f"{made.title} takes no input, so nothing could differ between samples; its "
            f"parameters: {', '.join(known) or 'none'} (name one with --input)"
        )
    return names


def _candidates(
    module: nn.Module, name: str, choice: InputChoice | None, shape: Shape | None
) -> Iterator[_Candidate]:
    """Yield how an input may be meant, the likeliest first."""
    if choice is None:
        normal = InputChoice(name, InputKind.NORMAL)
        for tried in _float_shapes(module) if shape is None else [shape]:
            yield _Candidate(KnownInput(name, "FP32", tried), normal, guessed=True)
        for classes in _class_counts(module) if not shape else []:
            label = InputChoice(name, InputKind.CLASSES, (float(classes),))
            yield _Candidate(KnownInput(name, "INT64", (), classes), label, guessed=True)
    else:
        for known in _known(module, name, choice, shape):
            yield _Candidate(known, choice, guessed=False)


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
            f"input {name!r} takes images, of a size that must be said: --shape {name}=C,H,W, such "
            f"as --shape {name}=3,64,64"
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


def _first_that_runs(
    made: Made, candidates: Sequence[Sequence[_Candidate]], unsaid: Sequence[str]
) -> tuple[_Candidate, ...]:
    reason = ""
    for chosen in islice(filter(_is_modest, product(*candidates)), _MOST_TRIES):
        failed = _try(made, chosen)
        if failed is None:
            return chosen
        reason = reason or f"with {_told(chosen)}: {failed}"
    raise _refusal(made, candidates, unsaid, reason)


def _is_modest(chosen: Sequence[_Candidate]) -> bool:
    """Tell whether at most one input is guessed to be normal."""
    guessed = [each for each in chosen if each.guessed and each.choice.kind is InputKind.NORMAL]
    return len(guessed) <= 1


def _try(made: Made, chosen: Sequence[_Candidate]) -> str | None:
    """Run the module; return None if it gives images, else what happened in one line."""
    call = MethodModule(made, tuple(each.known.name for each in chosen))
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            image = call(*(each.example() for each in chosen))
    except SourceError:
        raise
    except Exception as error:  # a user's module may raise anything
        return f"{type(error).__name__}: {one_line(error)}"
    if image.dim() != 4 or len(image) != _BATCH or not image.is_floating_point():
        return (
            f"it gives {str(image.dtype).removeprefix('torch.')} of shape {tuple(image.shape)}, "
            f"not images ({_BATCH}, channels, height, width)"
        )
    return None


def _refusal(
    made: Made, candidates: Sequence[Sequence[_Candidate]], unsaid: Sequence[str], reason: str
) -> SourceError:
    if len(unsaid) > 1 or (unsaid and not all(candidates)):
        inputs = ", ".join(map(repr, unsaid))
        return SourceError(
            f"{made.title} takes {inputs}, of which too little is known; say how their values "
            f"come about with --input {FORMS}, and shapes with --shape NAME=EXTENT,EXTENT"
        )
    if any(len(each) != 1 for each in candidates):
        return SourceError(
            f"{made.title} gives no images with any shape that its parts suggest; say it "
            f"with --shape, such as --shape z=100,1,1 ({reason or 'none is suggested'})"
        )
    return SourceError(f"{made.title} gives no images {reason}")


def _told(chosen: Sequence[_Candidate]) -> str:
    return ", ".join(f"{each.known.name} {(_BATCH, *each.known.shape)}" for each in chosen)


def _note(guessed: _Candidate) -> str:
    known, choice = guessed.known, guessed.choice
    return (
        f"input {known.name!r} {known.shape}: {str(choice).partition('=')[2]}, guessed; change it "
        f"with --input {known.name}=... and --shape {known.name}=..."
    )
