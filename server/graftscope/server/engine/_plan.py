"""How an influence run is cut into pieces: chosen once, kept with the job, used again.

The same plan gives the same bits on a CPU, whatever the number of workers. It must not know jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graftscope.graph.rewrites import CHUNKS, COMPILE, FOLD, GROUPS, REWRITES, SHARE
from graftscope.server.analysis import GROUP_PAIRS
from graftscope.server.engine._devices import Device
from graftscope.server.engine._generator import LARGE_BYTES, TENSORS_A_RUN, Generator
from graftscope.server.engine._precision import Backend, Precision
from graftscope.v1 import bundle_pb2

SHARD_PAIRS = GROUP_PAIRS
"""Pairs in a shard: the unit of work, of checkpoints and of the order of sums. Stratified pairs are
not independent within a group, so a shard of them is a whole group."""

ARITHMETIC_VERSION = 1
"""Changes when the same plan would give other bits."""

# A run's widest tensor stays near the size of a core's cache, or its kernels wait for memory.
_RUN_BYTES = LARGE_BYTES

# Interleaving in chunks is made for its layouts.
_CPU = Device.CPU.provider

# Of rewritten graphs. The size of a run is not measured: it hardly matters (a few per cent), and a
# plan that depends on a noisy clock would give other bits from job to job.
_REWRITTEN_BYTES = 8 * 2**20
_MOST_HYBRIDS = 128

# What compiled code may keep of a batch of pairs, as much of a run's maps, and up to twice as much
# of activations: within what a run is reckoned to take. Its multiplications take some 20 ms: so
# long others wait.
_COMPILED_BYTES = 16 * 2**20
_MULTIPLICATIONS = 2**30
_MAP_BYTES = 24  # An element: its mean and its deviation in float32, and in float64.

# What runs side by side may hold.
_SIDE_BY_SIDE_BYTES = 768 * 2**20


@dataclass(frozen=True)
class Plan:
    """How a job is computed.

    Attributes:
        batch: pairs a run, a divisor of a shard.
        sets: sets of channels a run.
        provider: ONNX Runtime's name of the execution provider.
        rewrites: names of the graph rewrites (`graftscope.graph.rewrites`); none on the plain path.
        precision: of the arithmetic, a word of `Precision`.
        arithmetic_version: `ARITHMETIC_VERSION` of the code that made the plan.
        corrected_every: of so many batches one is computed in float32 too, and some of the first
            ones; 0 where none is (`_correction`).
    """

    batch: int
    sets: int
    provider: str
    rewrites: tuple[str, ...] = ()
    precision: str = "fp32"
    arithmetic_version: int = ARITHMETIC_VERSION
    corrected_every: int = 0

    @property
    def backend(self) -> Backend:
        """What runs it."""
        return Backend(self.provider, Precision(self.precision))

    def on(self, backend: Backend) -> "Plan":
        """The same by another backend."""
        return replace(self, provider=backend.provider, precision=backend.precision.value)

    @property
    def exact(self) -> "Plan":
        """The same in float32, by the same provider."""
        return replace(self, precision=Precision.FP32.value, corrected_every=0)


@dataclass(frozen=True)
class CompiledSize:
    """What compiled runs take.

    Attributes:
        pair_bytes: kept of a pair.
        multiplications: of a hybrid.
    """

    pair_bytes: int
    multiplications: int

    @classmethod
    def largest(cls, sizes: Sequence["CompiledSize | None"]) -> "CompiledSize | None":
        """What suffices for each; None where one of them cannot be compiled."""
        every = [size for size in sizes if size is not None]
        if len(every) < len(sizes):
            return None
        return cls(max(x.pair_bytes for x in every), max(x.multiplications for x in every))


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
    batch = 1 if one_pair else _divisor(hybrids)
    return Plan(batch, min(sets, max(1, hybrids // batch)), generator.provider)


def rewritten(
    generator: Generator, plan: Plan, *, single: bool, compiled: CompiledSize | None = None
) -> tuple[Plan, ...]:
    """The plan on the plain path, and with the rewrites that are worth measuring.

    Args:
        generator: what will be run.
        plan: on the plain path.
        single: whether every set is one channel.
        compiled: what compiled runs take, where what follows the cut can be compiled here; then
            that comes second.
    """
    choices = [tuple(x for x in REWRITES if single or x != SHARE)]
    if plan.provider != _CPU:
        choices.append(tuple(x for x in choices[0] if x != CHUNKS))
    if single:
        choices.append((FOLD, SHARE, GROUPS))
    sized = [_resized(generator, replace(plan, rewrites=names)) for names in choices]
    return (plan, *_compiled(generator, plan, compiled if single else None), *sized)


def _compiled(generator: Generator, plan: Plan, size: CompiledSize | None) -> list[Plan]:
    """The plan that compiles what follows the cut; hybrids exist row by row only."""
    if size is None or size.pair_bytes > _COMPILED_BYTES or plan.backend != Backend(_CPU):
        return []
    _, height, width = generator.image_shape
    batch = 1 if plan.batch == 1 else _divisor(_COMPILED_BYTES // size.pair_bytes)
    maps = _COMPILED_BYTES // (_MAP_BYTES * height * width)
    hybrids = _MULTIPLICATIONS // size.multiplications
    sets = max(1, min(_MOST_HYBRIDS, maps, hybrids // batch))
    return [replace(plan, rewrites=(*REWRITES, COMPILE), batch=batch, sets=sets)]


def _resized(generator: Generator, plan: Plan) -> Plan:
    """A rewritten plan with runs of the size that suits its many small tensors."""
    hybrids = min(_MOST_HYBRIDS, max(1, _REWRITTEN_BYTES // generator.widest_bytes()))
    batch = min(plan.batch, _divisor(hybrids // 2))
    return replace(plan, batch=batch, sets=max(1, hybrids // batch))


def _divisor(pairs: int) -> int:
    """The most pairs a run that divide a shard; at least one."""
    return next((x for x in (32, 16, 8, 4, 2) if x <= pairs), 1)


def runs_side_by_side(generator: Generator, workers: int) -> int:
    """How many runs may go side by side without holding too much memory: at most `workers`.

    Args:
        generator: what will be run.
        workers: how many there could be.
    """
    if not generator.is_large:
        return workers
    a_run = TENSORS_A_RUN * generator.widest_bytes()
    return max(1, min(workers, _SIDE_BY_SIDE_BYTES // a_run))
