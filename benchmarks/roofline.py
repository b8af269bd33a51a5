"""The limit of the machine: what a hybrid needs at least, at speeds measured in the same run.

Multiply-adds and transcendental functions take turns in the same units, so their times add up.
Bytes move meanwhile. So a hybrid takes at least the longer of the two:

    max(multiply-adds / gemm + sum over functions of count / rate, bytes / bandwidth)
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import fsum

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from threadpoolctl import threadpool_limits

from benchmarks.arithmetic import Needed
from benchmarks.gemm import gemm_rate

MULTIPLY, TRANSCENDENTAL, MEMORY = "multiply-adds", "transcendentals", "memory"

# Elements of an array that stays in a core's cache, beside the one that is written; many enough
# that calling a library takes little of the time.
_IN_CACHE = 32_768
_LEAST_SET_BYTES = 192 * 1024
_CALLS = 8
_OPSET = 20

Function = Callable[[], object]


@dataclass(frozen=True)
class Speeds:
    """What all workers together do in a second.

    Attributes:
        multiply_adds: in a precision.
        functions: of each transcendental function, in float32.
        bytes: read and written, where a pair's tensors lie.
    """

    multiply_adds: float
    functions: Mapping[str, float]
    bytes: float


@dataclass(frozen=True)
class Times:
    """What a hybrid takes at least, in seconds of all workers together."""

    multiply_s: float
    transcendental_s: float
    memory_s: float

    @property
    def hybrid_s(self) -> float:
        """Arithmetic adds up, and memory moves meanwhile."""
        return max(self.multiply_s + self.transcendental_s, self.memory_s)

    @property
    def binds(self) -> str:
        """The part that decides."""
        if self.memory_s > self.multiply_s + self.transcendental_s:
            return MEMORY
        return MULTIPLY if self.multiply_s >= self.transcendental_s else TRANSCENDENTAL

    @classmethod
    def median(cls, rounds: Sequence["Times"]) -> "Times":
        """Part by part."""
        return cls(
            statistics.median(x.multiply_s for x in rounds),
            statistics.median(x.transcendental_s for x in rounds),
            statistics.median(x.memory_s for x in rounds),
        )


def times(needs: Needed, speeds: Speeds) -> Times:
    """The least that a hybrid takes."""
    functions = fsum(n / speeds.functions[kind] for kind, n in needs.transcendentals.items())
    return Times(needs.hybrid / speeds.multiply_adds, functions, needs.moved_bytes / speeds.bytes)


def measured(
    needs: Needed,
    dtypes: Sequence[torch.dtype],
    executor: ThreadPoolExecutor,
    workers: int,
    seconds: float,
) -> dict[torch.dtype, Times]:
    """The least that a hybrid takes in some precisions, by speeds that are measured now.

    Args:
        needs: of a hybrid.
        dtypes: precisions of the multiply-adds; all else is float32.
        executor: of at least as many threads.
        workers: how many go side by side.
        seconds: for how long each library is tried at each thing.
    """
    with threadpool_limits(1):
        functions = {
            kind: max(_rate(make, executor, workers, seconds) for make in _makers(kind))
            for kind in needs.transcendentals
        }
        moved = _rate(lambda: _adding(int(needs.set_bytes)), executor, workers, seconds)
    return {
        dtype: times(needs, Speeds(gemm_rate(dtype, executor, workers, seconds), functions, moved))
        for dtype in dtypes
    }


def _rate(
    make: Callable[[], tuple[Function, int]],
    executor: ThreadPoolExecutor,
    workers: int,
    seconds: float,
) -> float:
    """What is done in a second, each worker for itself."""
    return fsum(executor.map(lambda _: _alone(*make(), seconds), range(workers)))


def _alone(function: Function, work: int, seconds: float) -> float:
    torch.set_num_threads(1)
    function()
    started, done = time.perf_counter(), 0
    # On the average, as hybrids are timed: what disturbs them disturbs this too.
    while (elapsed := time.perf_counter() - started) < seconds or not done:
        for _ in range(_CALLS):
            function()
        done += _CALLS
    return done * work / elapsed


def _makers(kind: str) -> list[Callable[[], tuple[Function, int]]]:
    """A function by each library that has it, on what stays in cache."""
    numpys = {"Exp": np.exp, "Tanh": np.tanh}.get(kind)
    torches = {"Erf": torch.erf, "Exp": torch.exp, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh}

    def by_numpy() -> tuple[Function, int]:
        assert numpys is not None
        source = _normal()
        out, ufunc = np.empty_like(source), numpys
        return lambda: ufunc(source, out=out), _IN_CACHE

    def by_torch() -> tuple[Function, int]:
        source, function = torch.from_numpy(_normal()), torches[kind]
        out = torch.empty_like(source)
        return lambda: function(source, out=out), _IN_CACHE

    def by_onnxruntime() -> tuple[Function, int]:
        return _session(kind), _IN_CACHE

    return [by_torch, by_onnxruntime, *([] if numpys is None else [by_numpy])]


def _normal() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(_IN_CACHE, np.float32)


def _session(kind: str) -> Function:
    """A run of one operation by ONNX Runtime, whose input and output lie ready."""
    source, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [_IN_CACHE]) for name in "xy"
    )
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"])], kind, [source], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = ort.InferenceSession(model.SerializeToString(), options, providers=providers)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(_normal()))
    binding.bind_ortvalue_output("y", ort.OrtValue.ortvalue_from_numpy(_normal()))
    return lambda: session.run_with_iobinding(binding)


def _adding(set_bytes: int) -> tuple[Function, int]:
    """Two arrays added into a third, which together are as large as a pair's tensors."""
    size = max(set_bytes, _LEAST_SET_BYTES) // (3 * np.dtype(np.float32).itemsize)
    first, second, out = (np.ones(size, np.float32) for _ in range(3))
    return lambda: np.add(first, second, out=out), 3 * first.nbytes
