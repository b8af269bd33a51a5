"""How an influence run is cut into pieces: chosen once, kept with the job, used again.

The same plan gives the same bits on a CPU, whatever the number of workers. It must not know jobs.
"""

from dataclasses import dataclass

from graftscope.server.engine._generator import LARGE_BYTES, Generator
from graftscope.v1 import bundle_pb2

SHARD_PAIRS = 32
"""Pairs in a shard: the unit of work, of checkpoints and of the order of sums."""

ARITHMETIC_VERSION = 1
"""Changes when the same plan would give other bits."""

# A run's widest tensor stays near the size of a core's cache, or its kernels wait for memory.
_RUN_BYTES = LARGE_BYTES

# What runs side by side may hold, and how many tensors of the widest kind one of them does: what
# an operation reads and writes, a resampled map beside it, and room for the kernel.
_SIDE_BY_SIDE_BYTES = 768 * 2**20
_TENSORS_A_RUN = 4


@dataclass(frozen=True)
class Plan:
    """How a job is computed.

    Attributes:
        batch: pairs a run, a divisor of a shard.
        sets: sets of channels a run.
        provider: ONNX Runtime's name of the execution provider.
        rewrites: names of the graph rewrites; none is made yet.
        arithmetic_version: `ARITHMETIC_VERSION` of the code that made the plan.
    """

    batch: int
    sets: int
    provider: str
    rewrites: tuple[str, ...] = ()
    arithmetic_version: int = ARITHMETIC_VERSION


def choose_plan(
    generator: Generator, layer: bundle_pb2.Layer, sets: int, *, one_pair: bool = False
) -> Plan:
    """Chooses the size of a run from the widest tensor that it is likely to hold.

    Args:
        generator: what will be run.
        layer: where it is cut.
        sets: how many sets of channels the job has, at least 1.
        one_pair: whether every pair needs a run of its own, since its map is wanted.
    """
    widest = generator.widest_bytes(layer.height * layer.width)
    hybrids = max(1, _RUN_BYTES // widest)
    batch = 1 if one_pair else next(x for x in (32, 16, 8, 4, 2, 1) if x <= hybrids)
    return Plan(batch, min(sets, max(1, hybrids // batch)), generator.provider)


def runs_side_by_side(generator: Generator, workers: int) -> int:
    """How many runs may go side by side without holding too much memory: at most `workers`.

    Args:
        generator: what will be run.
        workers: how many there could be.
    """
    widest = generator.widest_bytes()
    if widest < LARGE_BYTES:
        return workers
    return max(1, min(workers, _SIDE_BY_SIDE_BYTES // (_TENSORS_A_RUN * widest)))
