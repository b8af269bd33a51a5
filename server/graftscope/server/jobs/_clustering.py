"""Jobs that take influence maps and give modules (section 3.3), or their stability (section 4.1).

It must not know databases, watchers or gRPC.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import asdict
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    GROUP_PAIRS,
    LEAST_GROUPS,
    Features,
    Method,
    Modules,
    ShardGroups,
    SuggestedK,
    cell_count,
    features_of,
    label_confidence,
    require_groups_of,
    require_product_groups_of,
    seed_consensus,
    stability,
    without_impure,
)
from graftscope.server.jobs._artifact_store import ArtifactStore
from graftscope.server.jobs._job import Json, Result
from graftscope.server.jobs._specification import ModulesSpec, StabilitySpec
from graftscope.server.workers import Run

_NO_GROUPS = (
    "the maps came without means over groups of pairs: they were given by themselves, or an "
    "earlier version computed them"
)
_NO_PRODUCTS = (
    "the maps came without means over groups of pairs of their products, by which {} groups: an "
    "earlier version computed them, or they were given by themselves"
)
_FEW = (
    f"{{}} pairs are too few: at least {LEAST_GROUPS * GROUP_PAIRS} are needed to tell how much "
    "others would change"
)

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")


def run_modules(spec: ModulesSpec, artifacts: ArtifactStore, run: Run) -> Result:
    """Finds the modules under the first seed, and how far they depend on it.

    Args:
        spec: what to find.
        artifacts: where arrays are.
        run: makes the calls that take long, where a cancel ends them.

    Raises:
        AnalysisError: the maps, their groups or K are not allowed, or the method did not
            converge.
        Corrupt: the stored maps are damaged.
        Cancelled: the job was cancelled.
    """
    features, method = _features(spec, artifacts, run), Method(spec.method)
    groups = _groups(spec, artifacts)
    products = _product_groups(spec, artifacts, groups)
    consensus = run(seed_consensus, features, spec.k, method, spec.seeds)
    first = consensus.runs[0]
    runs = [without_impure(run, spec.min_purity) for run in consensus.runs]
    impure = np.count_nonzero(runs[0].labels != first.labels)
    probabilities, unknown = probabilities_of(
        first, groups, products, spec.window, spec.percentile, run
    )
    arrays = {
        "labels": runs[0].labels,
        "templates": first.templates,
        "weights": first.weights,
        "purity": first.purity,
        "probabilities": probabilities,
        "seed_labels": np.stack([run.labels for run in runs]),
        "seed_templates": np.stack([run.templates for run in consensus.runs]),
        "agreement": consensus.label_agreement,
        "cosine": consensus.template_cosine,
    }
    return Result(
        arrays={name: artifacts.put(array) for name, array in arrays.items()},
        scalars={
            "seeds_agreeing": consensus.agreeing_count,
            "method": spec.method,
            "impure": int(impure),
            "confidence_unknown": unknown,
        },
    )


def probabilities_of(
    modules: Modules,
    groups: ShardGroups | None,
    products: ShardGroups | None,
    window: int,
    percentile: float,
    run: Run,
) -> tuple[NDArray[np.float64], str]:
    """(C, K) of each channel's being in each module; where nobody knows NaN, and why.

    Args:
        modules: as they were found.
        groups: means over groups of pairs; None where there are none.
        products: likewise of the products, as rows; None where there are none.
        window: as the modules were found.
        percentile: likewise.
        run: makes the calls that take long.
    """
    nothing = np.full(modules.weights.shape, np.nan)
    if groups is None:
        return nothing, _NO_GROUPS
    if not modules.method.needs_products:
        products = None
    elif products is None:
        return nothing, _NO_PRODUCTS.format(modules.method.value)
    most = int(groups.counts.max(initial=0))
    if most < LEAST_GROUPS:
        return nothing, _FEW.format(int(groups.pairs.sum(axis=0).max(initial=0)))
    return run(label_confidence, groups, modules, window, percentile, products).probabilities, ""


def _groups(spec: ModulesSpec, artifacts: ArtifactStore) -> ShardGroups | None:
    """Means over groups of pairs, where there are any and the method looks at maps."""
    if spec.group_maps is None or spec.group_pairs is None or spec.group_units is None:
        return None
    groups = ShardGroups(
        artifacts.get(spec.group_maps, "group_maps").astype(np.float16, copy=False),
        artifacts.get(spec.group_pairs, "group_pairs").astype(np.int64, copy=False),
        artifacts.get(spec.group_units, "group_units").astype(np.float64, copy=False),
    )
    require_groups_of(groups, artifacts.get(spec.maps, "maps").astype(np.float64, copy=False))
    return groups


def _product_groups(
    spec: ModulesSpec, artifacts: ArtifactStore, groups: ShardGroups | None
) -> ShardGroups | None:
    """Means of products over the same groups, where there are any."""
    if spec.group_products is None or groups is None:
        return None
    means = artifacts.get(spec.group_products, "group_products").astype(np.float32, copy=False)
    found = ShardGroups.of_products(means, groups.pairs)
    if spec.products is not None:
        require_product_groups_of(
            found, artifacts.get(spec.products, "products").astype(np.float64, copy=False)
        )
    return found


def stability_shards(spec: StabilitySpec) -> int:
    """How many pieces of work a job has: one a method, number of modules and partition."""
    return cell_count(spec.maps.shape[0], spec.ks, len(spec.methods), spec.repeats)


def run_stability(
    spec: StabilitySpec,
    artifacts: ArtifactStore,
    executor: Executor,
    run: Run,
    on_shard: Callable[[], None],
) -> Result:
    """Compares runs on overlapping thirds, methods and numbers of modules side by side.

    Args:
        spec: what to compare.
        artifacts: where arrays are.
        executor: as many threads as pieces of work go side by side.
        run: makes the calls that take long, on one thread each, where a cancel ends them.
        on_shard: called after each piece, in any thread.

    Raises:
        AnalysisError: the maps or a number of modules are not allowed.
        Corrupt: the stored maps are damaged.
        Cancelled: the job was cancelled.
    """

    def each(work: Callable[[_Item], _Value], items: Iterable[_Item], /) -> Iterable[_Value]:
        def piece(item: _Item) -> _Value:
            made = run(work, item)
            on_shard()
            return made

        return executor.map(piece, items)

    features, methods = _features(spec, artifacts, run), [Method(x) for x in spec.methods]
    found = stability(features, spec.ks, methods, spec.repeats, spec.seed, each)
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


def _features(spec: ModulesSpec | StabilitySpec, artifacts: ArtifactStore, run: Run) -> Features:
    maps = artifacts.get(spec.maps, "maps")
    products = None if spec.products is None else artifacts.get(spec.products, "products")
    return run(features_of, maps, spec.window, spec.percentile, products)


def _to_json(suggested: SuggestedK) -> Json:
    fields = asdict(suggested)
    return {**fields, "method": suggested.method.value, "rivals": list(suggested.rivals)}
