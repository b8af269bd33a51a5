"""Compiled functions with the weights that they read, and how they are called with arrays."""

import ctypes
from collections.abc import Sequence

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from graftscope.server.engine.compiled._chain import Stages
from graftscope.server.engine.compiled._machine import Compiled

# Code, and what the compiler keeps of it. Measured: 0.8 to 3.4 MiB.
_CODE_BYTES = 4 * 2**20


class Functions:
    """Calls from several threads go side by side: other threads run meanwhile.

    Args:
        module: the functions.
        stages: what they were written for.

    Attributes:
        weights: of the stages.
    """

    def __init__(self, module: ir.Module, stages: Stages) -> None:
        self.weights = stages.weights
        self._code = Compiled(module, stages.registers)
        self._working = stages.buffer_offsets[-1]
        self._running = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    @property
    def bytes(self) -> int:
        """What is held of memory: weights and code."""
        return self.weights.nbytes + _CODE_BYTES

    def buffer(self) -> NDArray[np.float32]:
        """Working memory for one call, whose zeros around images stay."""
        return np.zeros(self._working, np.float32)

    def call(self, name: str, counts: Sequence[int], arrays: Sequence[NDArray[np.generic]]) -> None:
        """Calls a function; nothing checks that the arrays are what it expects.

        Args:
            name: of the function.
            counts: its whole numbers.
            arrays: contiguous, whose addresses it takes.
        """
        types = [ctypes.c_int64] * len(counts) + [ctypes.c_void_p] * len(arrays)
        function = self._code.function(name, *types)
        # Without a lock: what it decides is an estimate.
        self._running += 1
        try:
            function(*counts, *(array.ctypes.data for array in arrays))
        finally:
            self._running -= 1
