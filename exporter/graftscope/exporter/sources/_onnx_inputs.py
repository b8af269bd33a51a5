"""What a graph tells of its inputs: shapes, number of classes, and which distributions to guess."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.codec import DATATYPES
from graftscope.exporter._input_choices import InputChoice, InputKind
from graftscope.exporter._input_values import constant_value
from graftscope.exporter._known_input import KnownInput
from graftscope.exporter.errors import SourceError
from graftscope.graph import operation

_DATATYPES: Final = {ir.DataType.from_numpy(dtype): name for name, dtype in DATATYPES.items()}
_PASSES_LABELS_ON: Final = frozenset(
    {"Cast", "Clip", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
)
_DEEPEST: Final = 100
"""How many operations a label is followed through."""
_CONDITIONS: Final = frozenset(
    (
        "c", "class", "classes", "cond", "condition", "conditioning", "conditions", "context",
        "embedding", "embeddings", "encoder", "label", "labels", "mask", "prompt", "psi", "scale",
        "sigma", "sigmas", "step", "steps", "t", "temb", "text", "time", "times", "timestep",
        "timesteps", "truncation", "y",
    )
)  # fmt: skip
"""Words in the names of inputs that say what to draw, and are not drawn themselves."""


def known_inputs(graph: ir.Graph) -> tuple[KnownInput, ...]:
    """Tell what is known of each input of a graph.

    Args:
        graph: In plain form; the first axis of every input is the batch.

    Raises:
        SourceError: If an input's shape or datatype is not one that a bundle can state.
    """
    known = tuple(_known(value) for value in graph.inputs)
    firsts = {value: value.shape[0] for value in graph.inputs if value.shape is not None}
    for value, first in firsts.items():
        if isinstance(first, int) and first != 1 and set(firsts.values()) != {first}:
            raise SourceError(
                f"input {value.name!r} {value.dtype} has shape {value.shape}, whose first axis "
                "is no batch, unlike those of the other inputs; if it is one value for all "
                f"samples, give it with --input {value.name}=constant:FILE"
            )
    return known


def guess_choices(
    known: Sequence[KnownInput], choices: Mapping[str, InputChoice]
) -> tuple[dict[str, InputChoice], tuple[str, ...]]:
    """Guess the distributions that are not given, where the graph tells.

    Args:
        known: The inputs.
        choices: What is given.

    Returns:
        What is given and what is guessed, and a note on each guess. An input about which nothing
        can be told is in neither.
    """
    latents = [each for each in known if each.datatype == "FP32" and np.prod(each.shape) >= 2]
    guessed: dict[str, InputChoice] = {}
    notes = []
    for each in known:
        if each.name in choices:
            continue
        choice, why = _guess(each, alone=len(latents) == 1)
        if choice is not None:
            guessed[each.name] = choice
            form = choice.distribution
            notes.append(f"{each}: {form}, guessed{why}; change it with --input {each.name}=...")
    return {**choices, **guessed}, tuple(notes)


def build_in_numbers(
    graph: ir.Graph, choices: Mapping[str, InputChoice]
) -> dict[str, NDArray[np.generic]]:
    """Make constants of those inputs that have no axis of samples: one value for all of them.

    Args:
        graph: A graph; changed in place.
        choices: What is given; only a constant can be built in.

    Returns:
        The values, of the inputs' own shapes, by the input's name.

    Raises:
        SourceError: If a file cannot be read or holds something else.
    """
    numbers: dict[str, NDArray[np.generic]] = {}
    for value in list(graph.inputs):
        choice = choices.get(value.name or "")
        if choice is None or not _is_for_all_samples(value) or value.dtype is None:
            continue
        if choice.kind is InputKind.CONSTANT and value.dtype in _DATATYPES:
            shape = tuple(value.shape.numpy()) if value.shape is not None else ()
            known = KnownInput(choice.name, _DATATYPES[value.dtype], shape)
            numbers[choice.name] = constant_value(known, choice).reshape(shape)
            graph.inputs.remove(value)
            value.const_value = ir.tensor(numbers[choice.name], name=choice.name)
            graph.register_initializer(value)
    return numbers


def _is_for_all_samples(value: ir.Value) -> bool:
    """Tell whether an input's first axis, where it has one, can be no batch."""
    if value.shape is None or not value.shape.is_static():
        return False
    return len(value.shape) == 0 or value.shape[0] != 1


def _known(value: ir.Value) -> KnownInput:
    name = value.name or ""
    if value.dtype not in _DATATYPES:
        raise SourceError(
            f"input {name!r} is {value.dtype}; allowed are "
            f"{', '.join(sorted(dtype.name for dtype in _DATATYPES))}"
        )
    if value.shape is None:
        raise SourceError(
            f"input {name!r} {value.dtype} has no shape in the file; give it with --shape "
            f"{name}=N,N,..."
        )
    if len(value.shape) == 0:
        raise SourceError(
            f"input {name!r} {value.dtype} is one number for all samples; give it with --input "
            f"{name}=constant:NUMBER"
        )
    extents = tuple(dim for dim in value.shape[1:] if isinstance(dim, int))
    if len(extents) != len(value.shape) - 1:
        raise SourceError(
            f"input {name!r} {value.dtype} has shape {value.shape}, of which more than the batch "
            f"is free; fix the rest with --shape {name}=N,N,..."
        )
    known = KnownInput(name, _DATATYPES[value.dtype], extents, _classes(value))
    return replace(known, noise=_is_noise(known))


def _is_noise(known: KnownInput) -> bool:
    return (
        known.datatype == "FP32"
        and len(known.shape) == 3
        and known.shape[0] == 1
        and known.name.lower().startswith("noise")
    )


def _guess(known: KnownInput, *, alone: bool) -> tuple[InputChoice | None, str]:
    if known.classes is not None:
        choice = InputChoice(known.name, InputKind.CLASSES, (float(known.classes),))
        return choice, " from the table that it looks up"
    if known.datatype != "FP32" or np.prod(known.shape) < 2:
        return None, ""
    if not alone and not known.noise and _says_condition(known.name):
        return None, ""
    return InputChoice(known.name, InputKind.NORMAL), ""


def _says_condition(name: str) -> bool:
    words = re.findall(r"[a-z]+|[A-Z][a-z]*", name)
    return not _CONDITIONS.isdisjoint(word.lower() for word in words)


def _classes(value: ir.Value) -> int | None:
    """Return the number of labels that an integer input may have, where a table tells."""
    if value.dtype not in (ir.DataType.INT32, ir.DataType.INT64, ir.DataType.UINT8):
        return None
    counts = set(_counts(value))
    return min(counts) if counts else None


def _counts(value: ir.Value, depth: int = 0) -> Iterator[int]:
    for use in value.uses():
        node = use.node
        if operation(node) == "Gather" and use.idx == 1:
            yield from _rows(node)
        elif operation(node) == "OneHot" and use.idx == 0:
            yield from _numbers(node.inputs[1])
        elif operation(node) == "Equal":
            yield from _compared(node.inputs[1 - use.idx])
        elif operation(node) in _PASSES_LABELS_ON and use.idx == 0 and depth < _DEEPEST:
            yield from _counts(node.outputs[0], depth + 1)


def _rows(node: ir.Node) -> Iterable[int]:
    table = node.inputs[0]
    if table is None or table.const_value is None:
        return ()
    return (int(table.const_value.shape.numpy()[node.attributes.get_int("axis", 0)]),)


def _compared(value: ir.Value | None) -> Iterable[int]:
    """Return N where labels are compared with 0 to N - 1, each in its turn."""
    numbers = _numbers(value)
    return (len(numbers),) if numbers == tuple(range(len(numbers))) and len(numbers) > 1 else ()


def _numbers(value: ir.Value | None) -> tuple[int, ...]:
    if value is None or value.const_value is None:
        return ()
    return tuple(int(number) for number in value.const_value.numpy().reshape(-1))
