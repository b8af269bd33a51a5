"""Facts about `graftscope.graph.cost_of`: it counts as one does by hand."""

from graftscope.graph import cost_of, cut
from onnx_toys import CHAIN, parse

GEMM = 2 * 8 * 64
TRANSPOSED = 2 * (4 * 4 * 4) * (6 * 4 * 4)
CONVOLUTION = 2 * (3 * 8 * 8) * (6 * 3 * 3)


def test_the_whole_is_what_its_operations_cost_by_hand() -> None:
    cost = cost_of(parse(CHAIN))
    assert cost.mflop * 1e6 == GEMM + TRANSPOSED + CONVOLUTION
    assert cost.parameters == 8 * 64 + 4 * 6 * 16 + 4 * 6 + 3 * 6 * 9


def test_both_halves_together_cost_what_the_whole_does() -> None:
    model = parse(CHAIN)
    halves = cut(model, "second")
    assert halves.upstream is not None
    above, below = cost_of(halves.upstream), cost_of(halves.downstream)
    assert below.mflop * 1e6 == CONVOLUTION
    assert above.mflop + below.mflop == cost_of(model).mflop
    assert above.parameters + below.parameters == cost_of(model).parameters
