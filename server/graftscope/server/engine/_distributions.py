"""The distributions of a generator's inputs: what is drawn from each, and how it is called.

It must not know what clients give, which pairs an analysis takes, jobs or gRPC.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from graftscope.codec import DATATYPES, deviation, in_range, one_hot
from graftscope.server.analysis import Draws
from graftscope.server.engine._generator import Generator
from graftscope.server.errors import Corrupt
from graftscope.v1 import bundle_pb2

_LISTED = 6
"""Numbers of a choice that a message names; of more, the first and the last."""


def draw(generator: Generator, value: bundle_pb2.Input, draws: Draws) -> NDArray[np.generic]:
    """One input from its distribution: (B, ...) of its datatype.

    Args:
        generator: whose input; its bundle holds what is stored.
        value: the input.
        draws: of the original whose input it is.

    Raises:
        Corrupt: a file of the bundle does not hold what the manifest says.
    """
    drawn = _draw(generator, value, draws)
    return drawn.astype(DATATYPES[value.datatype], copy=False)


def describe_input(value: bundle_pb2.Input) -> str:
    """An input's distribution in a few words, such as `classes 0 to 9`."""
    return _WORDS[value.WhichOneof("distribution") or "fixed"](value)


def _draw(generator: Generator, value: bundle_pb2.Input, draws: Draws) -> NDArray[np.generic]:
    match value.WhichOneof("distribution"):
        case "stored":
            stored = value.stored
            rows = draws.stored_rows(stored.file, stored.count)
            return _kept(generator, value, stored.file, stored.count, value.datatype)[rows]
        case "pictures":
            return _pictures(generator, value, draws)
        case "fixed":
            kept = _kept(generator, value, value.fixed.file, 1, value.datatype)
            return np.repeat(kept, len(draws.pairs), axis=0)
        case _:
            return _in_closed_form(value, draws)


def _in_closed_form(value: bundle_pb2.Input, draws: Draws) -> NDArray[np.generic]:
    """What needs no file: (B, ...)."""
    shape, name = tuple(value.shape), value.name
    match value.WhichOneof("distribution"):
        case "truncated_normal":
            return draws.truncated_normals(name, shape, value.truncated_normal.threshold)
        case "uniform":
            return draws.uniforms(name, shape, value.uniform.low, value.uniform.high)
        case "classes":
            return _filled(draws.classes(name, value.classes.count), shape)
        case "choice":
            return _filled(draws.numbers(name, value.choice.values), shape)
        case "one_hot":
            return one_hot(draws.classes(name, value.one_hot.count), value.one_hot.count, shape)
        case _:
            return draws.normals(name, shape, value.normal.mean, deviation(value.normal))


def _pictures(generator: Generator, value: bundle_pb2.Input, draws: Draws) -> NDArray[np.generic]:
    stated = value.pictures
    rows = draws.stored_rows(stated.file, stated.count)
    kept = _kept(generator, value, stated.file, stated.count, "UINT8")
    pixels = in_range(kept[rows], stated.low, stated.high)
    return pixels if DATATYPES[value.datatype].kind == "f" else np.rint(pixels)


def _filled(values: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """One value a sample, everywhere in the input: (B,) to (B, *shape)."""
    return np.broadcast_to(values.reshape(-1, *[1] * len(shape)), (len(values), *shape))


def _kept(
    generator: Generator, value: bundle_pb2.Input, file: str, count: int, datatype: str
) -> NDArray[np.generic]:
    """What the bundle stores for an input, (count, ...); read once a generator."""
    path = generator.folder.file(file)
    arrays = generator.memo.get(f"stored/{file}", lambda: load_file(path))
    array = arrays.get(value.name)
    wanted = (count, *value.shape)
    if array is None or array.shape != wanted or array.dtype != DATATYPES[datatype]:
        found = "nothing" if array is None else f"{array.dtype} of shape {array.shape}"
        raise Corrupt(
            f"file {file!r} of model {generator.manifest.name!r} holds {found} for input "
            f"{value.name!r}; its manifest says {datatype} of shape {wanted}"
        )
    return array


def _normal_words(value: bundle_pb2.Input) -> str:
    if value.normal == bundle_pb2.Normal():
        return "standard normal"
    return f"normal of mean {value.normal.mean:g} and deviation {deviation(value.normal):g}"


def _choice_words(value: bundle_pb2.Input) -> str:
    values = [f"{each:g}" for each in value.choice.values]
    if len(values) <= _LISTED:
        return f"one of {', '.join(values)}"
    return f"one of {len(values)} numbers from {values[0]} to {values[-1]}"


def _pictures_words(value: bundle_pb2.Input) -> str:
    stated = value.pictures
    return f"one of {stated.count} pictures, from {stated.low:g} to {stated.high:g}"


_WORDS: Mapping[str, Callable[[bundle_pb2.Input], str]] = {
    "normal": _normal_words,
    "truncated_normal": lambda value: f"normal within +-{value.truncated_normal.threshold:g}",
    "uniform": lambda value: f"uniform from {value.uniform.low:g} to {value.uniform.high:g}",
    "classes": lambda value: f"classes 0 to {value.classes.count - 1}",
    "choice": _choice_words,
    "one_hot": lambda value: f"one-hot of {value.one_hot.count} classes",
    "stored": lambda value: f"one of {value.stored.count} stored values",
    "pictures": _pictures_words,
    "fixed": lambda value: "fixed",
}
