"""Where pieces of jobs are computed: in this process, or on other machines.

    executor = LocalExecutor(workers=2, processes=Workers(2))
    with executor.shards(subject, source, plan) as compute:
        effects = compute(None, range(32), (), cancellation).effects()

A piece is a shard of influence, or a comparison of modules. Whoever asks for pieces decides which,
in which order, and what becomes of them. It must not know jobs or gRPC.
"""

from graftscope.server.executors._executor import Computed, Executor, Shards
from graftscope.server.executors._local import LocalExecutor

__all__ = ["Computed", "Executor", "LocalExecutor", "Shards"]
