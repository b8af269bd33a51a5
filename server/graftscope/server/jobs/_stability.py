"""A stability job: influence maps in, agreement of modules out (section 4.1).

It must not know databases, watchers or gRPC.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict

from graftscope.server.analysis import Method, SuggestedK, cell_count, stability
from graftscope.server.engine import Cancellation
from graftscope.server.jobs._artifacts import ArtifactStore
from graftscope.server.jobs._specification import StabilitySpec
from graftscope.server.jobs._store import Json, Result


def stability_shards(spec: StabilitySpec) -> int:
    """How many pieces of work a job has: one a method, number of modules and partition."""
    return cell_count(spec.maps.shape[0], spec.ks, len(spec.methods), spec.repeats)


def single_threaded() -> None:
    """Makes OpenMP in the calling thread, a pool's, use no others: they would collide.

    Its limit belongs to a thread; that of BLAS to the process, see `run_stability`.
    """
    # Only what is loaded can be limited.
    import sklearn.cluster  # noqa: F401
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="openmp")


def run_stability(
    spec: StabilitySpec,
    artifacts: ArtifactStore,
    executor: Executor,
    cancellation: Cancellation,
    on_shard: Callable[[], None],
) -> Result:
    """Compares runs on overlapping thirds, methods and numbers of modules side by side.

    Args:
        spec: what to compare.
        artifacts: where arrays are.
        executor: runs pieces of work, in threads that `single_threaded` made.
        cancellation: what may stop it; seen between two pieces.
        on_shard: called after each piece, in any thread.

    Raises:
        AnalysisError: the maps or a number of modules are not allowed.
        Corrupt: the stored maps are damaged.
        Cancelled: the job was cancelled.
    """
    from threadpoolctl import threadpool_limits

    # Small products: BLAS's threads cost more than they save, and pieces go side by side.
    with threadpool_limits(1, user_api="blas"):
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
