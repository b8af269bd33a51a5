"""A clustering at one level and the stability of modules, as Figs. 3 and 5 to 8 show them: the part
that they share.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures import paper
from graftscope.client.reproduce._measures import Measured, measured
from graftscope.client.reproduce._reproduction import Picture, Verdict, verdict_at
from graftscope.client.reproduce._study import K, Study
from graftscope.client.values import (
    HybridResult,
    InfluenceResult,
    Method,
    ModulesResult,
    StabilityResult,
    SuggestedK,
)

LEVEL = "intermediate"
"""The level that the paper shows, and of which it speaks."""

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
        study.hybrids(name, level, modules.members(module), study.effort.hybrids)
        for module in range(K)
    )
    return Clustering(level, maps, modules, study.fresh(maps, modules.labels, name), hybrids)


def clusters_picture(study: Study, stem: str, found: Clustering) -> Picture:
    """Show a clustering: its modules, and hybrids of a few pairs."""
    name, modules, shown = found.maps.source.model, found.modules, study.effort.shown
    first = found.hybrids[0]
    drawn = paper.Clusters(
        modules=[
            paper.ClusterModule(
                channels=len(modules.members(module)),
                template=modules.templates[module],
                examples=found.maps.maps[_purest(modules, module)],
                hybrids=found.hybrids[module].hybrid[:shown],
            )
            for module in range(K)
        ],
        total=len(modules.labels),
        original1=first.original1[:shown],
        original2=first.original2[:shown],
        image_range=study.model(name).image.range,
    )
    caption = (
        f"Modules of {name} at the {found.level} level (NMF, K = {K}): template and number of "
        "channels, influence maps of its purest channels, and hybrids of pairs that no map has "
        "seen: original 1 with the module's channels from original 2. Every map is drawn to its "
        f"own maximum. Maps over {study.pairs(name):,} pairs, originals from "
        f"{study.source(name)}."
    )
    return Picture(stem, caption, partial(paper.clusters, drawn))


def influence_of_modules(
    found: InfluenceResult, absent: float = math.nan
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Individual influence (K,) and its standard error (K,); ``absent`` without channels."""
    values, errors = np.full(K, absent), np.full(K, absent)
    values[found.channels] = found.individual
    errors[found.channels] = found.individual_stderr
    return values, errors


def module_numbers(clustering: Clustering) -> list[dict[str, object]]:
    """Make the numbers of each module, ready for JSON."""
    modules, fresh = clustering.modules, clustering.fresh
    # A module without channels changes nothing.
    values, errors = influence_of_modules(fresh, absent=0.0)
    found: list[dict[str, object]] = []
    for module in range(K):
        members = list(modules.members(module))
        found.append(
            {
                "channels": members,
                "mean_purity": float(modules.purity[members].mean()) if members else None,
                "individual_share": float(values[module] / fresh.range_width),
                "individual_share_stderr": float(errors[module] / fresh.range_width),
            }
        )
    return found


def stability_by_level(study: Study, name: str) -> dict[str, StabilityResult]:
    """Ask how stable a model's modules are at every level."""
    return {level: study.stability(study.maps(name, level)) for level in study.levels(name)}


def stability_picture(
    study: Study, stem: str, name: str, where: str, found: Mapping[str, StabilityResult]
) -> Picture:
    """Show the stability of a model's modules, a row a level."""
    drawn = paper.Stability(
        [
            paper.LayerStability(
                level=level,
                k=each.k,
                methods=[method.value for method in each.methods],
                consistency=each.consistency,
                cosine=each.cosine,
                chance=each.chance,
                suggested=np.array([one.k for one in each.suggested]),
            )
            for level, each in found.items()
        ]
    )
    caption = (
        "Label consistency and cosine similarity of matched templates of the "
        f"modules of {name}, {where}, against their number; mean and standard deviation over "
        f"{study.effort.repeats} random partitions, the same for both methods. Dashed: the "
        "consistency that permuted labels reach. Circled: the number whose consistency exceeds "
        f"chance most. Maps over {study.pairs(name):,} pairs, originals from "
        f"{study.source(name)}."
    )
    return Picture(stem, caption, partial(paper.stability, drawn))


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


def place_of(found: StabilityResult, k: int, method: Method = Method.NMF) -> tuple[int, int]:
    """Where a method and a number of modules stand in a stability's arrays."""
    return found.methods.index(method), int(np.flatnonzero(found.k == k)[0])


def consistency_at(found: StabilityResult, k: int, method: Method = Method.NMF) -> Measured:
    """Mean consistency at one number of modules, with its standard error over partitions."""
    return measured(found.consistency[place_of(found, k, method)])


def excess_at(found: StabilityResult, k: int, method: Method = Method.NMF) -> float:
    """Mean consistency at one number of modules above what permuted labels reach."""
    place = place_of(found, k, method)
    return float(found.consistency_mean[place] - found.chance[place])


def suggested_by(
    found: Mapping[str, StabilityResult],
) -> tuple[dict[str, SuggestedK], Verdict]:
    """What NMF's stability suggests at each level, and whether that is the paper's number."""
    suggested = {
        level: each.suggested[each.methods.index(Method.NMF)] for level, each in found.items()
    }
    good = [level for level, each in suggested.items() if each.k == K]
    near = [level for level, each in suggested.items() if K in each.rivals]
    return suggested, verdict_at(LEVEL, good, near)


def _purest(modules: ModulesResult, module: int) -> list[int]:
    members = np.array(modules.members(module), dtype=np.int64)
    order = np.argsort(-modules.purity[members], kind="stable")
    return [int(channel) for channel in members[order][:_EXAMPLES]]
