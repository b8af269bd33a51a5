"""A graph that merges a run's sums into those of the runs before it, where they lie.

Letters: E sets of channels, (h, w) the map. It must not know sessions, devices or analyses.
"""

import onnx_ir as ir
from onnx_ir.tape import Tape

from graftscope.graph._splice import MOMENT, OPSET_FLOOR, TOTAL

COUNT = "graftscope.count"
MEAN = "graftscope.mean"
M2 = "graftscope.m2"
ADDED = "graftscope.added"

_IR_VERSION = 10
_MAP = ("sets", "height", "width")


def accumulate() -> ir.Model:
    """Chan's rule in float64: the moments of all pairs so far from those before and a run's sums.

    Its inputs are `COUNT` (1,), the pairs before, 0 with any finite `MEAN` and an `M2` of zeros for
    none; `MEAN` (E, h, w), their mean map; `M2` (E, h, w), their sum of squared deviations from it;
    `ADDED` (1,), the run's pairs, at least 1; and what `reduce_effects` gives of them, `TOTAL` and
    `MOMENT`. Its outputs are the new `MEAN` and `M2`, named so with `.next` after it.
    """
    count, added = (_input(name, (1,)) for name in (COUNT, ADDED))
    mean, m2, total, moment = (_input(name, _MAP) for name in (MEAN, M2, TOTAL, MOMENT))
    graph = ir.Graph(
        [count, mean, m2, added, total, moment],
        [],
        nodes=[],
        opset_imports={"": OPSET_FLOOR},
        name="accumulate",
    )
    tape = Tape(graph)
    pairs = tape.op("Add", [count, added])
    share = tape.op("Div", [added, pairs])
    weight = tape.op("Div", [tape.op("Mul", [count, added]), pairs])
    delta = tape.op("Sub", [tape.op("Div", [total, added]), mean])
    apart = tape.op("Mul", [tape.op("Mul", [delta, delta]), weight])
    next_mean = tape.op("Add", [mean, tape.op("Mul", [delta, share])])
    next_m2 = tape.op("Add", [tape.op("Add", [m2, moment]), apart])
    graph.outputs[:] = [_output(tape, next_mean, MEAN), _output(tape, next_m2, M2)]
    return ir.Model(graph, ir_version=_IR_VERSION)


def _input(name: str, shape: tuple[str | int, ...]) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.DOUBLE), shape=ir.Shape(shape))


def _output(tape: Tape, value: ir.Value, name: str) -> ir.Value:
    return tape.op("Identity", [value], output=_input(f"{name}.next", _MAP))
