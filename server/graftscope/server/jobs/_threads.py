"""How many threads analyses take: one each, so that they go side by side and repeat bit by bit.

It must not know what the threads compute.
"""

import threading
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
