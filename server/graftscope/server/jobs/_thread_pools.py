"""The threads in which jobs compute: one each, so that they go side by side and repeat bit by bit.

It must not know what the threads compute.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from threadpoolctl import threadpool_limits


def single_threaded() -> None:
    """Makes OpenMP in the calling thread, a pool's, use no others: they would collide.

    Its limit belongs to a thread; that of BLAS to the process, see `OneBlasThread`.
    """
    # Only what is loaded can be limited.
    import sklearn.cluster  # noqa: F401
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="openmp")


class OneBlasThread:
    """BLAS on one thread for as long as anybody is inside, from any thread and at the same time.

    Small products: BLAS's threads cost more than they save, and how it rounds depends on them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: threadpool_limits | None = None

    def __enter__(self) -> Self:
        """Limits BLAS, unless somebody inside has done it."""
        import sklearn.cluster  # noqa: F401
        from threadpoolctl import threadpool_limits

        with self._lock:
            if not self._inside:
                self._limit = threadpool_limits(1, user_api="blas")
            self._inside += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Gives BLAS its threads back, if nobody else is inside."""
        with self._lock:
            self._inside -= 1
            if not self._inside and self._limit is not None:
                self._limit.restore_original_limits()


class ThreadPools:
    """Threads for each kind of work that must not hold up another.

    Args:
        workers: runs side by side.

    Attributes:
        workers: likewise.
        shards: of influence.
        modules: finds modules; what a cancelled search left running must not hold up anything else.
        comparisons: starts comparisons of modules, one at a time: each limits the threads of BLAS.
        cells: makes them, side by side.
        looks: of stopping rules at labels, while the next shards go on.
        one_blas_thread: limits BLAS while anything is compared or looked at.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.shards = ThreadPoolExecutor(workers, "shard")
        self.modules = ThreadPoolExecutor(1, "modules")
        self.comparisons = ThreadPoolExecutor(1, "stability")
        self.cells = ThreadPoolExecutor(workers, "cell", initializer=single_threaded)
        self.looks = ThreadPoolExecutor(1, "look", initializer=single_threaded)
        self.one_blas_thread = OneBlasThread()

    def close(self) -> None:
        """Ends the threads; a search that was dropped is not waited for."""
        self.shards.shutdown()
        for pool in (self.modules, self.comparisons, self.cells, self.looks):
            pool.shutdown(wait=False, cancel_futures=True)
