"""The threads in which jobs compute, or wait for the processes that do.

It must not know what the threads compute.
"""

from concurrent.futures import ThreadPoolExecutor

from graftscope.server.executors import Executor
from graftscope.server.jobs._scheduling import FairWorkers
from graftscope.server.workers import Workers

SIDE_BY_SIDE = 4
"""How many jobs that find modules go on at once, and how many that compare them."""


class ThreadPools:
    """Threads for each kind of work that must not hold up another, and what computes behind some.

    Args:
        executor: what computes pieces of jobs.
        processes: what those that wait here wait for; a cancel kills them.

    Attributes:
        executor, processes: likewise.
        shards: wait for shards of influence, or compute them.
        modules: waits while modules are found, one job a thread.
        comparisons: waits while comparisons of modules go on, one job a thread.
        cells: wait for comparisons, side by side.
        worths: waits while what modules are worth is measured, one job a thread.
        looks: waits for looks of stopping rules at labels, while the next shards go on.
    """

    def __init__(self, executor: Executor, processes: Workers) -> None:
        self.executor, self.processes = executor, processes
        self.shards = FairWorkers(executor.workers, "shard")
        self.modules = ThreadPoolExecutor(SIDE_BY_SIDE, "modules")
        self.comparisons = ThreadPoolExecutor(SIDE_BY_SIDE, "stability")
        self.cells = FairWorkers(executor.workers, "cell")
        self.worths = ThreadPoolExecutor(SIDE_BY_SIDE, "worth")
        self.looks = ThreadPoolExecutor(SIDE_BY_SIDE, "look")

    def close(self) -> None:
        """Ends the threads, whose work was cancelled."""
        waiting = (self.modules, self.comparisons, self.worths, self.looks)
        for pool in (self.shards, self.cells, *waiting):
            pool.shutdown(cancel_futures=True)
