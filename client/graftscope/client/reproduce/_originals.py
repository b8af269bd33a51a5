"""How much it matters where originals come from: real images, `encoded`, or the prior."""

import math
from functools import partial

import numpy as np

from graftscope.client.figures.paper import ErrorBars, Originals, originals
from graftscope.client.reproduce._claims import Picture, Reproduction
from graftscope.client.reproduce._fig5 import consistency_at
from graftscope.client.reproduce._measures import (
    Measured,
    label_agreement,
    map_correlation,
    measured,
)
from graftscope.client.reproduce._study import VAE, K, Study
from graftscope.client.values import Encoded, InfluenceResult, Prior
from graftscope.client.values import Originals as Source


def compare_originals(study: Study) -> Reproduction:
    """Compare maps, labels and stability of the VAE between sources of originals."""
    sources: dict[str, Source] = {"encoded": Encoded(), "prior": Prior()}
    if study.real is not None:
        sources = {"real": study.images(VAE), **sources}
    reference = next(iter(sources))
    levels = study.levels(VAE)
    rows = {
        (source, level): _row(study, level, where, sources[reference])
        for source, where in sources.items()
        for level in levels
    }

    def table(name: str) -> ErrorBars:
        cells = [[rows[source, level][name] for level in levels] for source in sources]
        return ErrorBars(
            np.array([[cell.mean for cell in row] for row in cells]),
            np.array([[cell.stderr for cell in row] for row in cells]),
        )

    figure = Originals(
        levels=levels,
        sources=list(sources),
        reference=reference,
        correlation=table("correlation"),
        ratio=table("ratio"),
        agreement=table("agreement"),
        consistency=table("consistency"),
        k=K,
    )
    return Reproduction(
        name="originals",
        title="Where originals come from",
        pictures=[
            Picture(
                "originals",
                f"What changes in {VAE} when originals come from elsewhere than "
                f"{'held-out real images' if reference == 'real' else 'a Gaussian of encodings'}: "
                "correlation of each channel's maps, ratio of individual influences, share of "
                f"channels with the same label, and label consistency (NMF, K = {K}); "
                f"{study.scale.pairs:,} pairs. Bars are standard errors over channels, or over "
                "partitions for consistency.",
                partial(originals, figure),
            )
        ],
        numbers={
            source: {
                level: {name: vars(value) for name, value in rows[source, level].items()}
                for level in levels
            }
            for source in sources
        },
    )


def _row(study: Study, level: str, where: Source, reference: Source) -> dict[str, Measured]:
    maps = study.maps(VAE, level, originals=where)
    consistency = consistency_at(study.stability(maps, ks=(K, K + 1)), K)
    if where is reference:
        nothing = Measured(math.nan, math.nan)
        return {
            "correlation": nothing,
            "ratio": nothing,
            "agreement": nothing,
            "consistency": consistency,
        }
    others = study.maps(VAE, level, originals=reference)
    return {
        "correlation": measured(map_correlation(others.maps, maps.maps)),
        "ratio": _ratio(others, maps),
        "agreement": _agreement(study, others, maps),
        "consistency": consistency,
    }


def _ratio(reference: InfluenceResult, other: InfluenceResult) -> Measured:
    known = reference.individual > 0
    return measured(other.individual[known] / reference.individual[known])


def _agreement(study: Study, reference: InfluenceResult, other: InfluenceResult) -> Measured:
    labels = [study.modules(maps).labels for maps in (reference, other)]
    share, _ = label_agreement(labels[0], labels[1], K)
    # A share of C channels has the standard error of a proportion.
    return Measured(share, math.sqrt(share * (1 - share) / len(labels[0])))
