"""A stability job: influence maps in, agreement of modules out (section 4.1).

It must not know databases, watchers or gRPC.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import asdict

from graftscope.server.analysis import Method, SuggestedK, cell_count, stability
from graftscope.server.engine import Cancellation
from graftscope.server.jobs._artifacts import ArtifactStore
from graftscope.server.jobs._specification import StabilitySpec
from graftscope.server.jobs._store import Json, Result


def stability_shards(spec: StabilitySpec) -> int:
    """How many pieces of work a job has: one a method, number of modules and partition."""
    return cell_count(spec.maps.shape[0], spec.ks, len(spec.methods), spec.repeats)


def run_stability(
    spec: StabilitySpec,
    artifacts: ArtifactStore,
    executor: Executor,
    cancellation: Cancellation,
    on_shard: Callable[[], None],
    one_blas_thread: AbstractContextManager[object],
) -> Result:
    """Compares runs on overlapping thirds, methods and numbers of modules side by side.

    Args:
        spec: what to compare.
        artifacts: where arrays are.
        executor: runs pieces of work, in threads that `single_threaded` made.
        cancellation: what may stop it; seen between two pieces.
        on_shard: called after each piece, in any thread.
        one_blas_thread: keeps BLAS on one thread, since pieces go side by side.

    Raises:
        AnalysisError: the maps or a number of modules are not allowed.
        Corrupt: the stored maps are damaged.
        Cancelled: the job was cancelled.
    """
    with one_blas_thread:
        found = stability(
            artifacts.get(spec.maps, "maps"),
            spec.ks,
            [Method(method) for method in spec.methods],
            spec.repeats,
            spec.seed,
            spec.window,
            spec.percentile,
            products=None if spec.products is None else artifacts.get(spec.products, "products"),
            each=executor.map,
            before_each=cancellation.check,
            after_each=on_shard,
        )
    arrays = {
        "k": found.ks,
        "consistency": found.consistency,
        "cosine": found.cosine,
        "chance": found.chance,
    }
    return Result(
        arrays={name: artifacts.put(array) for name, array in arrays.items()},
        scalars={
            "methods": list(spec.methods),
            "suggested": [_to_json(suggested) for suggested in found.suggested],
            "channels": found.channels,
        },
    )


def _to_json(suggested: SuggestedK) -> Json:
    fields = asdict(suggested)
    return {**fields, "method": suggested.method.value, "rivals": list(suggested.rivals)}
