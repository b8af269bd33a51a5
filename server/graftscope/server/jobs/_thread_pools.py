"""The threads in which jobs compute, or wait for the processes that do.

It must not know what the threads compute.
"""

from concurrent.futures import ThreadPoolExecutor

from graftscope.server.workers import Workers

_FEWEST_PROCESSES = 2
"""A short look need not wait for a long factorisation, on however few cores."""


class ThreadPools:
    """Threads for each kind of work that must not hold up another, and processes behind some.

    Args:
        workers: runs side by side.

    Attributes:
        workers: likewise.
        shards: of influence.
        modules: waits while modules are found, one job's at a time.
        comparisons: waits while comparisons of modules go on, one job's at a time.
        cells: wait for them, side by side.
        looks: waits for looks of stopping rules at labels, while the next shards go on.
        processes: what those that wait wait for; a cancel kills them.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.shards = ThreadPoolExecutor(workers, "shard")
        self.modules = ThreadPoolExecutor(1, "modules")
        self.comparisons = ThreadPoolExecutor(1, "stability")
        self.cells = ThreadPoolExecutor(workers, "cell")
        self.looks = ThreadPoolExecutor(1, "look")
        self.processes = Workers(max(_FEWEST_PROCESSES, workers))

    def close(self) -> None:
        """Ends the threads, whose work was cancelled."""
        for pool in (self.shards, self.modules, self.comparisons, self.cells, self.looks):
            pool.shutdown(cancel_futures=True)
