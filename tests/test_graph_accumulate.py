"""The graph that merges a run's sums into those before it: Chan's rule, where they lie."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from graftscope.graph import ADDED, COUNT, M2, MEAN, MOMENT, TOTAL, accumulate

SHAPE = (3, 4, 5)
# Float64, and a few dozen operations.
TOLERANCE = 1e-12


def merged(maps: NDArray[np.float64], sizes: list[int]) -> tuple[NDArray[np.float64], ...]:
    """Mean and sum of squares of (N, E, h, w) maps, in batches of these sizes."""
    graph = ReferenceEvaluator(ir.to_proto(accumulate()))
    mean = m2 = np.full(SHAPE, 7.0)  # Whatever they are, they are of no pairs.
    done = 0
    for batch in np.split(maps, np.cumsum(sizes)[:-1]):
        feeds = {
            COUNT: np.array([done], dtype=np.float64),
            ADDED: np.array([len(batch)], dtype=np.float64),
            MEAN: mean,
            M2: np.zeros(SHAPE) if done == 0 else m2,
            TOTAL: batch.sum(axis=0),
            MOMENT: np.square(batch - batch.mean(axis=0)).sum(axis=0),
        }
        after = graph.run([f"{MEAN}.next", f"{M2}.next"], feeds)
        mean, m2 = (np.asarray(x, dtype=np.float64) for x in after)
        done += len(batch)
    return mean, m2


@pytest.mark.parametrize("sizes", [[8], [1, 7], [3, 1, 4], [2, 2, 2, 2]])
def test_batches_of_any_size_give_the_moments_of_all_pairs(sizes: list[int]) -> None:
    # Far from zero, where a difference of squares would have no digit left.
    maps = 1e6 + np.random.default_rng(0).random((8, *SHAPE))
    mean, m2 = merged(maps, sizes)
    np.testing.assert_allclose(mean, maps.mean(axis=0), rtol=TOLERANCE)
    np.testing.assert_allclose(m2, np.square(maps - maps.mean(axis=0)).sum(axis=0), rtol=1e-8)


def test_the_graph_is_a_whole_model() -> None:
    onnx.checker.check_model(ir.to_proto(accumulate()), full_check=True)
