"""How much it matters where originals come from: real images, `encoded`, or the prior."""

import math
from functools import partial

from graftscope.client.figures import paper
from graftscope.client.reproduce._clustering import consistency_at
from graftscope.client.reproduce._measures import (
    Measured,
    agreement,
    map_correlation,
    means_and_errors,
    measured,
)
from graftscope.client.reproduce._reproduction import Picture, Reproduction
from graftscope.client.reproduce._study import VAE, K, Study
from graftscope.client.values import Encoded, Originals, Prior

_COMPARED = ("correlation", "ratio", "agreement")
"""What is measured against the reference, which has none of it."""


def compare_originals(study: Study) -> Reproduction:
    """Compare maps, labels and stability of the VAE between sources of originals."""
    sources: dict[str, Originals] = {"encoded": Encoded(), "prior": Prior()}
    if study.real is not None:
        sources = {"real": study.images(VAE), **sources}
    reference = next(iter(sources))
    levels = study.levels(VAE)
    rows = {
        (source, level): _row(study, level, where, sources[reference])
        for source, where in sources.items()
        for level in levels
    }

    def table(name: str) -> paper.ErrorBars:
        return paper.ErrorBars(
            *means_and_errors(
                [[rows[source, level][name] for level in levels] for source in sources]
            )
        )

    figure = paper.Originals(
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
                f"{study.effort.pairs:,} pairs. Bars are standard errors over channels, or over "
                "partitions for consistency.",
                partial(paper.originals, figure),
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


def _row(study: Study, level: str, where: Originals, reference: Originals) -> dict[str, Measured]:
    maps = study.maps(VAE, level, originals=where)
    consistency = {"consistency": consistency_at(study.stability(maps, ks=(K, K + 1)), K)}
    if where is reference:
        return dict.fromkeys(_COMPARED, Measured(math.nan, math.nan)) | consistency
    others = study.maps(VAE, level, originals=reference)
    known = others.individual > 0
    labels, usual = study.modules(maps).labels, study.modules(others).labels
    values = (
        measured(map_correlation(others.maps, maps.maps)),
        measured(maps.individual[known] / others.individual[known]),
        agreement(usual, labels, K),
    )
    return dict(zip(_COMPARED, values, strict=True)) | consistency
