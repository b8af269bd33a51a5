"""A clustering at one level, as Figs. 3 and 6 to 8 show it: the part that they share."""

from dataclasses import dataclass

import numpy as np

from graftscope.client.figures.paper import ClusterModule, Clusters, LayerStability
from graftscope.client.reproduce._study import K, Study
from graftscope.client.values import (
    HybridResult,
    InfluenceResult,
    Method,
    ModulesResult,
    StabilityResult,
)

_EXAMPLES = 4


@dataclass(frozen=True, eq=False)
class Clustering:
    """Modules of one level, and hybrids of each.

    Args:
        level: Of the layer.
        maps: Influence of every channel.
        modules: Found in them.
        fresh: Influence of the modules that have channels, on other pairs.
        hybrids: One of each module, the same pairs each.
    """

    level: str
    maps: InfluenceResult
    modules: ModulesResult
    fresh: InfluenceResult
    hybrids: tuple[HybridResult, ...]


def cluster(study: Study, name: str, level: str, method: Method = Method.NMF) -> Clustering:
    """Run the paper's whole procedure at one level: maps, modules, hybrids."""
    maps = study.maps(name, level, products=method.needs_products)
    modules = study.modules(maps, method=method)
    hybrids = tuple(
        study.hybrids(name, level, modules.members(module), study.scale.hybrids)
        for module in range(K)
    )
    return Clustering(level, maps, modules, study.fresh(maps, modules.labels, name), hybrids)


def clusters_caption(study: Study, name: str, level: str) -> str:
    """Say what a picture of a clustering shows."""
    return (
        f"Modules of {name} at the {level} level (NMF, K = {K}): template and number of channels, "
        "influence maps of its purest channels, and hybrids of pairs that no map has seen: "
        "original 1 with the module's channels from original 2. Every map is drawn to its own "
        f"maximum. Maps over {study.scale.pairs:,} pairs, originals from {study.source(name)}."
    )


def stability_caption(study: Study, name: str, where: str) -> str:
    """Say what a picture of stabilities shows."""
    return (
        "Label consistency (left) and cosine similarity of matched templates (right) of the "
        f"modules of {name}, {where}, against their number; mean and standard deviation over "
        f"{study.scale.repeats} random partitions, the same for both methods. Dashed: the "
        "consistency that permuted labels reach. Circled: the number whose consistency exceeds "
        f"chance most. Maps over {study.scale.pairs:,} pairs, originals from {study.source(name)}."
    )


def drawn(clustering: Clustering, shown: int, image_range: tuple[float, float]) -> Clusters:
    """Make the figure's input."""
    modules, maps = clustering.modules, clustering.maps
    first = clustering.hybrids[0]
    return Clusters(
        modules=[
            ClusterModule(
                channels=len(modules.members(module)),
                template=modules.templates[module],
                examples=maps.maps[_purest(modules, module)],
                hybrids=clustering.hybrids[module].hybrid[:shown],
            )
            for module in range(K)
        ],
        total=len(modules.labels),
        original1=first.original1[:shown],
        original2=first.original2[:shown],
        image_range=image_range,
    )


def module_numbers(clustering: Clustering) -> list[dict[str, object]]:
    """Make the numbers of each module, ready for JSON."""
    modules, fresh = clustering.modules, clustering.fresh
    found: list[dict[str, object]] = []
    for module in range(K):
        members = modules.members(module)
        at = np.flatnonzero(fresh.channels == module)
        found.append(
            {
                "channels": list(members),
                "mean_purity": float(modules.purity[list(members)].mean()) if members else None,
                "individual_share": float(fresh.individual_share[at[0]]) if at.size else 0.0,
                "individual_share_stderr": float(fresh.individual_stderr[at[0]] / fresh.range_width)
                if at.size
                else 0.0,
            }
        )
    return found


def stability_drawn(level: str, found: StabilityResult) -> LayerStability:
    """Make the figure's input of one row."""
    return LayerStability(
        level=level,
        k=found.k,
        methods=[method.value for method in found.methods],
        consistency=found.consistency,
        cosine=found.cosine,
        chance=found.chance,
        suggested=np.array([each.k for each in found.suggested]),
    )


def stability_numbers(found: StabilityResult) -> dict[str, object]:
    """Make the numbers of a stability, ready for JSON."""
    return {
        "k": found.k,
        "repeats": found.consistency.shape[2],
        "channels": found.channels,
        "methods": {
            method.value: {
                "consistency_mean": found.consistency_mean[i],
                "consistency_sd": found.consistency_sd[i],
                "cosine_mean": found.cosine_mean[i],
                "cosine_sd": found.cosine_sd[i],
                "chance": found.chance[i],
                "settled": found.settled[i],
                "suggested_k": found.suggested[i].k,
                "reason": found.suggested[i].reason,
            }
            for i, method in enumerate(found.methods)
        },
    }


def _purest(modules: ModulesResult, module: int) -> list[int]:
    members = np.array(modules.members(module), dtype=np.int64)
    order = np.argsort(-modules.purity[members], kind="stable")
    return [int(channel) for channel in members[order][:_EXAMPLES]]
