"""The generator's inputs: completed by draws, and checked where clients give them.

It must not know which pairs an analysis takes, jobs or gRPC.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from graftscope.codec import DATATYPES
from graftscope.server.analysis import Draws
from graftscope.server.engine._distributions import describe_input, draw
from graftscope.server.engine._generator import Generator, Latents
from graftscope.server.errors import InvalidInput
from graftscope.v1 import bundle_pb2


def complete(
    generator: Generator, latents: Latents, draws: Draws
) -> dict[str, NDArray[np.generic]]:
    """Latents with every input, those that are left out drawn from their distributions.

    Args:
        generator: whose inputs; its bundle holds what is stored.
        latents: by the input's name, each (B, ...).
        draws: of the original whose latents they are.

    Raises:
        Corrupt: a file of the bundle does not hold what the manifest says.
    """
    return {
        value.name: latents[value.name] if value.name in latents else draw(generator, value, draws)
        for value in generator.manifest.inputs
    }


def left_out(generator: Generator) -> frozenset[str]:
    """Names of the inputs that whoever gives latents may leave out: noise, and what is fixed."""
    inputs = generator.manifest.inputs
    return frozenset(x.name for x in inputs if x.noise or x.HasField("fixed"))


def check_latents(
    generator: Generator, latents: Latents, field: str, optional: Collection[str] = ()
) -> int:
    """Checks given latents against the generator's inputs.

    Args:
        generator: whose inputs.
        latents: by the input's name.
        field: what they are called in messages.
        optional: names of inputs that may be missing beside noise and what the bundle fixes.

    Returns:
        B, the number of samples.

    Raises:
        InvalidInput: names, shapes or types do not fit, or a value is NaN or infinite.
    """
    check_names(generator, latents, field)
    check_missing(generator, latents, field, optional)
    for value in generator.manifest.inputs:
        if value.name in latents:
            check_input(value, latents[value.name], f"{field}[{value.name}]")
    sizes = {len(array) for array in latents.values()}
    if len(sizes) != 1 or not min(sizes):
        counts = " and ".join(map(str, sorted(sizes))) or "no"
        raise InvalidInput(
            f"{field} holds {counts} samples; every input needs the same number, at least 1",
            field=field,
        )
    return sizes.pop()


def check_names(generator: Generator, names: Collection[str], field: str) -> None:
    """Refuses names that are no inputs of the generator.

    Raises:
        InvalidInput: there is one.
    """
    for name in names:
        if name not in (value.name for value in generator.manifest.inputs):
            raise InvalidInput(
                f"{field} holds {name!r}, which is no input of the generator; {_known(generator)}",
                field=field,
            )


def check_missing(
    generator: Generator, names: Collection[str], field: str, optional: Collection[str] = ()
) -> None:
    """Refuses to do without inputs of which nothing tells the value.

    Raises:
        InvalidInput: one is missing that is neither noise nor fixed nor optional.
    """
    needless = {*names, *optional, *left_out(generator)}
    for value in generator.manifest.inputs:
        if value.name not in needless:
            raise InvalidInput(
                f"{field} lacks {value.name!r} ({describe_input(value)}), which can be given or "
                f"fixed; {_known(generator)}",
                field=field,
            )


def check_input(value: bundle_pb2.Input, array: NDArray[np.generic], field: str) -> None:
    """Checks values of one input, (B, ...).

    Raises:
        InvalidInput: shape or type do not fit, a value is not finite or no label.
    """
    dtype = np.dtype(DATATYPES[value.datatype])
    shape = tuple(value.shape)
    if array.dtype != dtype or array.shape[1:] != shape or array.ndim != len(shape) + 1:
        raise InvalidInput(
            f"{field} is {array.dtype} of shape {array.shape}; {dtype} of shape "
            f"({', '.join(['B', *map(str, shape)])}) is needed{_hint(value)}",
            field=field,
        )
    if dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InvalidInput(
            f"{field} holds {array[where]} at {list(where)}; all values must be finite", field=field
        )
    if value.HasField("classes") and array.size:
        labels = array.astype(np.int64)
        if labels.min() < 0 or labels.max() >= value.classes.count:
            raise InvalidInput(
                f"{field} holds labels from {labels.min()} to {labels.max()}; "
                f"0 to {value.classes.count - 1} are allowed",
                field=field,
            )


def _hint(value: bundle_pb2.Input) -> str:
    """How to write labels that are one-hot: a class as a number has another shape."""
    return f" ({describe_input(value)}, 1 at the label)" if value.HasField("one_hot") else ""


def _known(generator: Generator) -> str:
    names = ", ".join(value.name for value in generator.manifest.inputs)
    return f"the inputs of model {generator.manifest.name!r} are: {names}"
