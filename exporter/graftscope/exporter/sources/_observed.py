"""Shapes that no rule tells, observed: a graph is run, since shapes do not depend on values."""

from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._sessions import session_of
from graftscope.exporter.errors import ProofError
from graftscope.graph import is_tensor, static_extents

_BATCHES: Final = (2, 3)
_BATCH: Final = "batch"


def observe_shapes(model: ir.Model, path: Path) -> None:
    """Fill in types and shapes that are not known, but for the batch's extent.

    Args:
        model: A graph in plain form whose inputs' shapes are known; changed in place. A graph
            that cannot be run so is left as it is.
        path: The file it was read from, with its weights.
    """
    free = all(has_free_batch(value) for value in model.graph.inputs)
    outputs = [value for node in model.graph for value in node.outputs if value.name]
    unknown = [value for value in outputs if is_tensor(value) and not _is_known(value, free=free)]
    if not unknown:
        return
    batches = _BATCHES if free else (1, 1)
    try:
        first, second = (_run(model, path, unknown, batch) for batch in batches)
    except ProofError:
        return  # what cannot be seen is refused later, with the tensor whose shape is not known
    for value in unknown:
        if value.name not in first:
            continue  # a sequence
        seen = first[str(value.name)], second[str(value.name)]
        if (shape := _shape(*(each.shape for each in seen))) is not None:
            value.shape = shape
        value.dtype = ir.DataType.from_numpy(seen[0].dtype)


def _is_known(value: ir.Value, *, free: bool) -> bool:
    """Tell whether the type is known and all extents are fixed, but for that of a free batch."""
    if value.shape is None or value.dtype is None:
        return False
    return value.shape.is_static() or (free and static_extents(value) is not None)


def has_free_batch(value: ir.Value) -> bool:
    """Tell whether the first axis of an input with a shape is free."""
    return value.shape is not None and not isinstance(value.shape[0], int)


def _run(
    model: ir.Model, path: Path, values: list[ir.Value], batch: int
) -> dict[str, NDArray[np.generic]]:
    given = {str(value.name): _some(value, batch) for value in model.graph.inputs}
    copy = model.clone()
    wanted = {value.name for value in values}
    copy.graph.outputs[:] = [
        each for node in copy.graph for each in node.outputs if each.name in wanted
    ]
    session = session_of(copy, path.parent)
    found = session.run(given)
    return {name: each for name, each in found.items() if isinstance(each, np.ndarray)}


def _some(value: ir.Value, batch: int) -> NDArray[np.generic]:
    shape = (batch, *(static_extents(value) or ()))
    assert value.dtype is not None
    return np.zeros(shape, value.dtype.numpy())


def _shape(first: tuple[int, ...], second: tuple[int, ...]) -> ir.Shape | None:
    if len(first) != len(second) or first[1:] != second[1:]:
        return None
    if first[:1] == second[:1]:
        return ir.Shape(first)
    pure = (first[0], second[0]) == _BATCHES
    return ir.Shape([_BATCH if pure else None, *first[1:]])
