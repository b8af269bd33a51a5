"""The threads in which jobs compute, or wait for the processes that do.

It must not know what the threads compute.
"""

from concurrent.futures import ThreadPoolExecutor

from graftscope.server.jobs._scheduling import FairWorkers
from graftscope.server.workers import Workers

_FEWEST_PROCESSES = 2
"""A short look need not wait for a long factorisation, on however few cores."""


SIDE_BY_SIDE = 4
"""How many jobs that find modules go on at once, and how many that compare them."""


class ThreadPools:
    """Threads for each kind of work that must not hold up another, and processes behind some.

    Args:
        workers: runs side by side.

    Attributes:
        workers: likewise.
        shards: of influence.
        modules: waits while modules are found, one job a thread.
        comparisons: waits while comparisons of modules go on, one job a thread.
        cells: wait for them, side by side.
        looks: waits for looks of stopping rules at labels, while the next shards go on.
        processes: what those that wait wait for; a cancel kills them.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.shards = FairWorkers(workers, "shard")
        self.modules = ThreadPoolExecutor(SIDE_BY_SIDE, "modules")
        self.comparisons = ThreadPoolExecutor(SIDE_BY_SIDE, "stability")
        self.cells = FairWorkers(workers, "cell")
        self.looks = ThreadPoolExecutor(SIDE_BY_SIDE, "look")
        self.processes = Workers(max(_FEWEST_PROCESSES, workers))

    def close(self) -> None:
        """Ends the threads, whose work was cancelled."""
        for pool in (self.shards, self.modules, self.comparisons, self.cells, self.looks):
            pool.shutdown(cancel_futures=True)
