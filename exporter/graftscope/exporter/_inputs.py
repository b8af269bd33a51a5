"""A generator's inputs as a bundle's manifest states them.

    choices = parse_inputs(["z=normal", "label=classes:10"])
    known = [KnownInput("z", "FP32", (100,)), KnownInput("label", "INT64", ())]
    chosen = make_inputs(known, choices)

It knows neither graphs nor PyTorch: what is known of an input comes as a `KnownInput`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graftscope.codec import DATATYPES
from graftscope.exporter._input_choices import FORMS, InputChoice, InputKind
from graftscope.exporter._input_values import constant_value, read_values, require_fitting
from graftscope.exporter._known_input import KnownInput
from graftscope.exporter._photographs import read_photographs
from graftscope.exporter._subject import Stored
from graftscope.exporter.errors import SourceError
from graftscope.v1 import bundle_pb2

_MOST_ELEMENTS: Final = 2**28
"""A GiB of float32 for one sample of one input."""
_CONTINUOUS: Final = ("normal", "uniform", "truncated_normal", "stored", "pictures")
"""What may be a layer itself; labels, whatever they are written as, and constants are none."""


@dataclass(frozen=True)
class ChosenInputs:
    """A generator's inputs as the manifest states them.

    Attributes:
        inputs: One for each that is known, in order.
        stored: What is to be written beside the graphs; may be empty.
        notes: What was left out of what is stored; one line each.
    """

    inputs: tuple[bundle_pb2.Input, ...]
    stored: Stored
    notes: tuple[str, ...] = ()


def make_inputs(known: Sequence[KnownInput], choices: Mapping[str, InputChoice]) -> ChosenInputs:
    """State each input's distribution, and read the files that are named.

    Args:
        known: The generator's inputs, in order.
        choices: The distribution of each, by name.

    Returns:
        What goes into the manifest, and the arrays to be stored. Inputs whose values come from
        one file share a file of the bundle; each input of images has its own.

    Raises:
        SourceError: If an input has no distribution or one that does not fit, a choice is for an
            input that is not there, or a file cannot be read or holds something else.
    """
    names = [each.name for each in known]
    for name in choices:
        if name not in names:
            raise SourceError(
                f"--input is given for {name!r}, but the generator's inputs are: "
                f"{', '.join(names) or 'none'}"
            )
    kept = _Kept()
    inputs = tuple(_stated(each, choices, kept) for each in known)
    kept.require_one_count(choices)
    return ChosenInputs(inputs, kept.arrays, tuple(kept.notes))


def latent_names(inputs: Iterable[bundle_pb2.Input]) -> tuple[str, ...]:
    """Return the names of the inputs that are layers themselves: floats that differ by meaning.

    Labels, values that every sample shares, and noise are none.
    """
    return tuple(
        each.name
        for each in inputs
        if DATATYPES[each.datatype].kind == "f"
        and each.shape
        and not each.noise
        and each.WhichOneof("distribution") in _CONTINUOUS
    )


def constant_names(inputs: Iterable[bundle_pb2.Input]) -> tuple[str, ...]:
    """Return the names of the inputs that are the same in every sample."""
    return tuple(each.name for each in inputs if each.HasField("fixed"))


@dataclass(frozen=True)
class _Kept:
    """What is to be stored, as it comes together."""

    arrays: dict[str, dict[str, NDArray[np.generic]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _files: dict[object, str] = field(default_factory=dict)

    def add(self, name: str, values: NDArray[np.generic], *key: object) -> str:
        """Keep an input's values; those of one key lie in one file, whose name is returned."""
        file = self._files.setdefault(key, f"inputs{len(self._files) + 1}.safetensors")
        self.arrays.setdefault(file, {})[name] = values
        return file

    def require_one_count(self, choices: Mapping[str, InputChoice]) -> None:
        """Refuse one file's arrays of different length: a sample takes the same row of each."""
        for arrays in self.arrays.values():
            counts = {name: len(values) for name, values in arrays.items()}
            if len(set(counts.values())) > 1:
                path = choices[next(iter(arrays))].path
                told = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
                raise SourceError(f"{path} must hold as many values of each input, not {told}")


def _stated(known: KnownInput, choices: Mapping[str, InputChoice], kept: _Kept) -> bundle_pb2.Input:
    if (elements := math.prod(known.shape)) > _MOST_ELEMENTS:
        raise SourceError(
            f"{known} has {elements} elements a sample; at most {_MOST_ELEMENTS} are supported"
        )
    if known.name not in choices:
        raise SourceError(f"{known} has no distribution; say which with --input {FORMS}")
    message = bundle_pb2.Input(
        name=known.name, datatype=known.datatype, shape=known.shape, noise=known.noise
    )
    choice = choices[known.name]
    match choice.kind:
        case InputKind.COUNT:
            raise SourceError(
                f"{known} cannot be 'count', which is for an argument of a PyTorch method that is "
                "the number of samples"
            )
        case InputKind.CONSTANT | InputKind.FILE | InputKind.IMAGES:
            _keep(message, known, choice, kept)
        case InputKind.CLASSES | InputKind.ONE_HOT | InputKind.CHOICE:
            _state_labels(message, known, choice)
        case _:
            _state_floats(message, known, choice)
    return message


def _keep(message: bundle_pb2.Input, known: KnownInput, choice: InputChoice, kept: _Kept) -> None:
    """State an input whose values are stored, and keep them."""
    path = choice.path and choice.path.resolve()
    if choice.kind is InputKind.CONSTANT:
        value = constant_value(known, choice)
        message.fixed.file = kept.add(known.name, value, choice.kind, path)
    elif choice.kind is InputKind.FILE:
        values = read_values(known, choice.path or Path(), constant=False)
        message.stored.file = kept.add(known.name, values, choice.kind, path)
        message.stored.count = len(values)
    else:
        photographs = read_photographs(known, choice)
        kept.notes.extend(photographs.notes)
        message.pictures.file = kept.add(known.name, photographs.pixels, choice.kind, known.name)
        message.pictures.count = len(photographs.pixels)
        message.pictures.low, message.pictures.high = choice.numbers


def _state_floats(message: bundle_pb2.Input, known: KnownInput, choice: InputChoice) -> None:
    """State an input whose elements are drawn, each by itself."""
    if not known.real:
        raise _unfit(known, choice, "f")
    if choice.kind is InputKind.UNIFORM:
        message.uniform.low, message.uniform.high = choice.numbers
    elif choice.kind is InputKind.TRUNCATED:
        message.truncated_normal.threshold = choice.numbers[0]
    else:
        message.normal.SetInParent()
        if choice.numbers:
            message.normal.mean, message.normal.deviation = choice.numbers


def _state_labels(message: bundle_pb2.Input, known: KnownInput, choice: InputChoice) -> None:
    """State an input that takes one of several values."""
    if choice.kind is InputKind.CHOICE:
        require_fitting(known, choice)
        message.choice.values.extend(choice.numbers)
        return
    count = int(choice.numbers[0])
    if choice.kind is InputKind.CLASSES:
        if known.dtype.kind not in "iu":
            raise _unfit(known, choice, "iu", f"; labels in floats are choice:0..{count - 1}")
        message.classes.count = _class_count(known, count)
        return
    if not known.real:
        raise _unfit(known, choice, "f")
    if count not in known.shape:
        raise SourceError(f"{known} cannot be one-hot of {count}: no axis is {count} long")
    message.one_hot.count = count


def _unfit(known: KnownInput, choice: InputChoice, kinds: str, more: str = "") -> SourceError:
    wanted = " and ".join(name for name, dtype in DATATYPES.items() if dtype.kind in kinds)
    return SourceError(f"{known} cannot be {choice.kind.value!r}, which is for {wanted}{more}")


def _class_count(known: KnownInput, count: int) -> int:
    if known.classes is not None and count > known.classes:
        raise SourceError(
            f"{known} takes labels below {known.classes}, so {count} classes are too many"
        )
    if known.datatype == "UINT8" and count > 256:
        raise SourceError(f"{known} holds labels below 256, so {count} classes are too many")
    return count
