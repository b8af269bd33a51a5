"""How fast the machine multiplies matrices: what the arithmetic limit is measured against."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import fsum

import numpy as np
import torch
from threadpoolctl import threadpool_limits

SIDE = 1024


def gemm_rate(
    dtype: torch.dtype, executor: ThreadPoolExecutor, workers: int, seconds: float
) -> float:
    """Multiply-adds a second of square matrices, single-threaded workers side by side.

    In float32 by numpy's BLAS or torch's, whichever is faster; in bfloat16 by torch's.

    Args:
        dtype: float32 or bfloat16.
        executor: of at least as many threads.
        workers: how many go side by side.
        seconds: for how long each library.
    """
    with threadpool_limits(1):
        makers = [_torch_product] if dtype != torch.float32 else [_torch_product, _numpy_product]
        return max(_rate(make, dtype, executor, workers, seconds) for make in makers)


def _rate(
    make: Callable[[torch.dtype], Callable[[], object]],
    dtype: torch.dtype,
    executor: ThreadPoolExecutor,
    workers: int,
    seconds: float,
) -> float:
    return fsum(executor.map(lambda _: _alone(make(dtype), seconds), range(workers)))


def _alone(product: Callable[[], object], seconds: float) -> float:
    torch.set_num_threads(1)
    product()
    started, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds or not done:
        product()
        done += 1
    return done * SIDE**3 / elapsed


def _torch_product(dtype: torch.dtype) -> Callable[[], object]:
    left, right = (torch.rand(SIDE, SIDE).to(dtype) for _ in range(2))
    out = torch.empty(SIDE, SIDE, dtype=dtype)
    return lambda: torch.mm(left, right, out=out)


def _numpy_product(_: torch.dtype) -> Callable[[], object]:
    left, right = (np.random.default_rng(0).random((SIDE, SIDE), np.float32) for _ in range(2))
    out = np.empty((SIDE, SIDE), np.float32)
    return lambda: np.matmul(left, right, out=out)
