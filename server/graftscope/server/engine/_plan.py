"""How an influence run is cut into pieces: chosen once, kept with the job, used again.

The same plan gives the same bits on a CPU, whatever the number of workers. It must not know jobs.
"""

from dataclasses import dataclass

from graftscope.server.engine._generator import Generator
from graftscope.v1 import bundle_pb2

SHARD_PAIRS = 32
"""Pairs in a shard: the unit of work, of checkpoints and of the order of sums."""

ARITHMETIC_VERSION = 1
"""Changes when the same plan would give other bits."""

# A run's widest tensor stays near the size of a core's cache, or its kernels wait for memory.
_RUN_BYTES = 24 * 2**20
_FLOAT_BYTES = 4


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
    colours, height, width = generator.image_shape
    following = [
        x for x in generator.manifest.layers if x.height * x.width >= layer.height * layer.width
    ]
    elements = [x.channels * max(x.height, 1) * max(x.width, 1) for x in following]
    widest = max([*elements, colours * height * width]) * _FLOAT_BYTES
    hybrids = max(1, _RUN_BYTES // widest)
    batch = 1 if one_pair else next(x for x in (32, 16, 8, 4, 2, 1) if x <= hybrids)
    return Plan(batch, min(sets, max(1, hybrids // batch)), generator.provider)
