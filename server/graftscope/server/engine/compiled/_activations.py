"""A layer's activations from those of an earlier one, by compiled code; arrays in, arrays out."""

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine.compiled._chain import Stages
from graftscope.server.engine.compiled._forward import FORWARD, write_forward
from graftscope.server.engine.compiled._functions import Functions


class Activations(Functions):
    """Compiles stages.

    Args:
        stages: what is compiled.
    """

    def __init__(self, stages: Stages) -> None:
        super().__init__(write_forward(stages), stages)
        self._inputs = stages.stages[0].inputs
        self._outputs = stages.stages[-1].outputs

    def run(self, given: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the last stage gives.

        Args:
            given: what the first one reads, (N, C, h, w).

        Returns:
            (N, O, H, W).

        Raises:
            ValueError: they are not of the first stage's extents.
        """
        wanted = (len(given), *self._inputs)
        if given.shape != wanted:
            raise ValueError(f"activations are {given.shape}, not {wanted}")
        result = np.empty((len(given), *self._outputs), np.float32)
        contiguous = np.ascontiguousarray(given, np.float32)
        self.call(FORWARD, [len(given)], [self.weights, contiguous, result, self.buffer()])
        return result
