"""A job of one of the analyses of a module's worth: what it measures with what, and its result.

A job that is taken up again begins anew. It must not know databases, watchers or gRPC.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import TypeVar

import numpy as np

from graftscope.server.engine import CALL_BYTES, Cancellation, Generator, Need
from graftscope.server.errors import Unsupported
from graftscope.server.jobs._artifact_store import ArrayRef
from graftscope.server.jobs._faithfulness import faithfulness_of
from graftscope.server.jobs._independence import independence_of
from graftscope.server.jobs._job import Estimate, Job, Json, Result
from graftscope.server.jobs._probe import probe_of
from graftscope.server.jobs._reach import reach_of
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._worth_specs import (
    FaithfulnessSpec,
    IndependenceSpec,
    ProbeSpec,
    ReachSpec,
    WorthSpec,
)
from graftscope.server.worth import Making, Measure, Modules

# Tables of numbers; what is looked at is not kept.
_RESULT_BYTES = 32 * 1024

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")


def making_of(spec: WorthSpec, resolver: Resolver) -> Making:
    """What makes the images of a job's pairs.

    Raises:
        NotFound: the model is not served any more, or an array is gone.
        Corrupt: a stored array is damaged.
    """
    generator = resolver.catalogue.by_digest(spec.model)
    return Making(generator, resolver.pairs(generator, spec.originals, spec.seed))


def modules_of(labels: ArrayRef, resolver: Resolver) -> Modules:
    """The modules of stored labels. Raises as `making_of`."""
    return Modules(resolver.artifacts.get(labels, "labels").astype(np.int64, copy=False))


def measure_of(spec: WorthSpec, resolver: Resolver) -> Measure:
    """What a job measures, ready to run. Raises as `making_of`."""
    making = making_of(spec, resolver)
    match spec:
        case ReachSpec():
            return reach_of(spec, making, resolver)
        case ProbeSpec():
            return probe_of(spec, making, modules_of(spec.labels, resolver), resolver)
        case IndependenceSpec():
            return independence_of(spec, making, modules_of(spec.labels, resolver), resolver)
        case FaithfulnessSpec():
            return faithfulness_of(spec, making, modules_of(spec.labels, resolver), resolver)
        case _:
            raise Unsupported(f"{spec.analysis} is not implemented yet", field="analysis")


def prepared(job: Job, spec: WorthSpec, resolver: Resolver, *, workers: int, measures: bool) -> Job:
    """A job with its number of pieces and its estimate.

    Args:
        job: as it was asked for.
        spec: what it computes.
        resolver: from names to models and arrays.
        workers: how many pieces go side by side.
        measures: whether runs are timed; else how long it takes is not known.
    """
    measure = measure_of(spec, resolver)
    duration_s = None
    if measures and measure.hybrids:
        making = making_of(spec, resolver)
        layer = making.layer(spec.where.partition(",")[0])
        seconds = making.seconds_a_hybrid(layer, spec.first, measure.look)
        duration_s = measure.hybrids * seconds / workers
    cost = Estimate(duration_s, measure.hybrids, _RESULT_BYTES)
    return Job(**{**vars(job), "estimate": cost, "shards_total": measure.pieces})


def worth_need(spec: WorthSpec, resolver: Resolver, workers: int) -> Need:
    """What a job takes of memory. Raises as `making_of`."""
    measure, making = measure_of(spec, resolver), making_of(spec, resolver)
    number = CALL_BYTES + measure.bytes + workers * making.run_bytes
    what = f"{spec.analysis} of {spec.pairs} pairs"
    return Need(number, what, "ask for fewer pairs, or give smaller arrays", "pairs")


def run_worth(
    spec: WorthSpec,
    resolver: Resolver,
    cancellation: Cancellation,
    executor: Executor,
    on_piece: Callable[[], None],
) -> Result:
    """Measures, and stores the arrays.

    Args:
        spec: what is measured.
        resolver: from names to models and arrays.
        cancellation: what may stop it.
        executor: does pieces side by side.
        on_piece: called after each, in any thread.

    Raises:
        Cancelled: the job was cancelled.
        ServerError: it cannot be measured.
    """

    def each(work: Callable[[_Item], _Value], items: Iterable[_Item], /) -> Iterable[_Value]:
        def piece(item: _Item) -> _Value:
            made = cancellation.around(work)(item)
            on_piece()
            return made

        return executor.map(piece, items)

    found = measure_of(spec, resolver).run(each)
    making = making_of(spec, resolver)
    return Result(
        arrays={name: resolver.artifacts.put(array) for name, array in found.arrays.items()},
        scalars={**_told(spec, making), **found.scalars},
    )


def _told(spec: WorthSpec, making: Making) -> dict[str, Json]:
    """What every result says of its pairs and of how it was computed."""
    generator: Generator = making.generator
    pairs = range(spec.first, spec.first + spec.pairs)
    layers: dict[str, Json] = {"layer": spec.where}
    return {
        "pairs": spec.pairs,
        "distinct_images": making.source.distinct_images(pairs),
        "originals": making.source.kind,
        "model_digest": spec.model,
        "provider": generator.provider,
        "rewrites": [],
        **layers,
    }
