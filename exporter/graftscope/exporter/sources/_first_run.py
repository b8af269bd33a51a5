"""A file's first run, on one sample and on two, before anything is said about its shapes.

What happens then is what a user is told: that ONNX Runtime rejects the file, or that it computes
one sample at a time though it says that its batch is free. The values are zeros, or ones where a
graph wants numbers above 0: shapes do not depend on them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir

from graftscope.exporter._evaluator import Evaluator, runnable
from graftscope.exporter._options import Shape
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter.errors import ProofError, SourceError
from graftscope.graph import foreign_operations, static_extents

_ADVICE: Final = (
    "; where a number of samples stands in the graph, such as in a Reshape, export it with -1 in "
    "its place, or with a batch of 1"
)
_VALUES: Final = (0, 1)

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class FirstRun:
    """What came of it.

    Attributes:
        one: Shapes of the outputs that are tensors, for one sample, by name; empty where the
            file's batch is fixed at another number, or too little is known to run it.
        two: Likewise for two; empty where that fails, or the batch is fixed.
        alone: Why two samples at a time fail, where one does not and the batch is said to be free;
            else empty.
    """

    one: Shapes
    two: Shapes
    alone: str = ""

    def alone_for(self, output: str) -> str:
        """Return why an output cannot be had of two samples at a time; empty where it can."""
        one, two = self.one.get(output, ()), self.two.get(output, ())
        if self.alone or not two or two[:1] == (2,) or one[:1] != (1,):
            return self.alone
        return f"of two samples {output!r} has shape {two}, of one {one}"


def first_run(path: Path, graph: ir.Graph, shapes: Mapping[str, Shape]) -> FirstRun:
    """Load a file and run it.

    Args:
        path: An ONNX file.
        graph: What it holds, for the inputs' shapes.
        shapes: Shapes behind the batch by the input's name, where a user gives them.

    Raises:
        SourceError: If it cannot be loaded, or if all inputs' shapes are known and it does not run
            on one sample. The message has what the runtime says.
    """
    try:
        session = runnable(path)
    except ProofError as error:
        raise _refusal(path, graph, error) from error
    inputs = [value for value in graph.inputs if value.name in session.inputs]
    extents = {str(value.name): _extents(value, shapes.get(str(value.name))) for value in inputs}
    known = {name: each for name, each in extents.items() if each is not None}
    if len(known) != len(extents):
        return FirstRun({}, {})  # who asks for the shapes that are missing comes later
    free = any(each[:1] == (None,) for each in known.values())
    runs = [_attempt(session, known, count) for count in ((1, 2) if free else (1,))]
    first, second = runs[0], runs[-1]
    if isinstance(first, ProofError):
        raise _refusal(path, graph, first, _ADVICE if free else "") from first
    if isinstance(second, ProofError):
        return FirstRun(first, {}, str(second))
    return FirstRun(first, second if free else {})


def enter_shapes(outputs: Sequence[ir.Value], run: FirstRun) -> None:
    """Fill in the shapes of outputs that the file leaves open, as they were seen.

    Args:
        outputs: A graph's; changed in place.
        run: Its first run.
    """
    for value in outputs:
        one, two = (seen.get(str(value.name)) for seen in (run.one, run.two or run.one))
        told = value.shape is not None and static_extents(value) is not None
        if told or not one or not two or one[1:] != two[1:]:
            continue
        batch = value.shape[0] if value.shape else None
        value.shape = ir.Shape([one[0] if one == two else batch, *one[1:]])


def _extents(value: ir.Value, given: Shape | None) -> tuple[int | None, ...] | None:
    """Return an input's extents, None for the batch's where that is free; None if unknown."""
    if value.dtype is None or value.dtype is ir.DataType.STRING:
        return None
    if value.shape is not None and len(value.shape) == 0:
        return ()
    behind = static_extents(value) if given is None else given
    if behind is None:
        return None
    batch = value.shape[0] if value.shape else None
    return (batch if isinstance(batch, int) else None, *behind)


def _attempt(
    session: CpuSession | Evaluator, extents: Mapping[str, tuple[int | None, ...]], count: int
) -> Shapes | ProofError:
    types = session.input_types
    error = ProofError()
    for number in _VALUES:
        given = {
            name: np.full([count if n is None else n for n in each], number, types[name][1])
            for name, each in extents.items()
        }
        try:
            found = session.run(given)
        except ProofError as raised:
            error = error if str(error) else raised
            continue
        # Sequences come as lists.
        return {name: each.shape for name, each in found.items() if isinstance(each, np.ndarray)}
    return error


def _refusal(path: Path, graph: ir.Graph, error: ProofError, advice: str = "") -> SourceError:
    foreign = foreign_operations(graph)
    beside = f"; it holds {foreign}" if foreign else ""
    return SourceError(f"source {str(path)!r}: {error}{advice}{beside}")
