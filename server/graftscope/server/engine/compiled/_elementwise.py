"""Elementwise operations in code: what a stage ends in, on one vector.

tanh is a quotient of polynomials, within six units of the last place and 3.2e-7; the logistic
function is half of it, moved, within 1.7e-7. What is no number stays so. It must not know
convolutions.
"""

from llvmlite import ir

from graftscope.graph.rewrites import Elementwise
from graftscope.server.engine.compiled._writer import Writer

# As `python tools/tanh.py` fits them: of x * P(x^2) / Q(x^2), the lowest power first. Beyond the
# limit tanh is 1 to 2.8e-7.
_SATURATED = 7.9
ABOVE = (1.0, 1.34506258e-01, 3.57899820e-03, 2.20233477e-05, 1.54281187e-08)
BELOW = (1.0, 4.67839538e-01, 2.61922614e-02, 3.42366068e-04, 8.59883893e-07)


def apply(writer: Writer, operation: Elementwise, value: ir.Value) -> ir.Value:
    """One operation on a vector."""
    match operation.name:
        case "Relu":
            return writer.at_least(value, 0.0)
        case "LeakyRelu":
            slope = writer.constant(operation.parameters[0])
            return writer.where("<", value, 0.0, writer.multiply(value, slope), value)
        case "Clip":
            low, high = operation.parameters
            return writer.at_most(writer.at_least(value, low), high)
        case "Tanh":
            return _tanh(writer, value)
        case "Sigmoid":
            half = writer.constant(0.5)
            return writer.fused(_tanh(writer, writer.multiply(value, half)), half, half)
        case _:
            return value


def _tanh(writer: Writer, value: ir.Value) -> ir.Value:
    x = writer.at_most(writer.at_least(value, -_SATURATED), _SATURATED)
    square = writer.multiply(x, x)
    above, below = (_polynomial(writer, square, powers) for powers in (ABOVE, BELOW))
    return writer.divide(writer.multiply(x, above), below)


def _polynomial(writer: Writer, value: ir.Value, powers: tuple[float, ...]) -> ir.Value:
    total = writer.constant(powers[-1])
    for power in reversed(powers[:-1]):
        total = writer.fused(total, value, writer.constant(power))
    return total
