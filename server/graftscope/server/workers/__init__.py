"""Processes for work that nothing can interrupt, so that a cancel, or the server's end, ends it.

    workers = Workers(most=2)
    modules = workers.run(cancellation, find_modules, features, 5)

Factorisations and clusterings run for minutes inside one call, some of them without letting any
other thread of the process run. Here such a call is made in a process of its own, which is killed
where its job is cancelled. It must not know what is computed, nor jobs, models or gRPC: a process
imports nothing but what its work needs.
"""

from graftscope.server.workers._pool import Run, Stoppable, Workers, directly
from graftscope.server.workers._process import PROCESSES
from graftscope.server.workers._spares import SPARES, Spares

__all__ = ["PROCESSES", "SPARES", "Run", "Spares", "Stoppable", "Workers", "directly"]
