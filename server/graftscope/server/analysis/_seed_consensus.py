"""Whether the modules depend on the seed of the method that found them.

Axes: R runs (one a seed), C channels, K modules. This module must not know generators or reports.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import require_distinct
from graftscope.server.analysis._features import Features
from graftscope.server.analysis._matching import agreement, match_labels, template_cosines
from graftscope.server.analysis._modules import Method, Modules, find_modules, renumbered

DEFAULT_SEEDS = (0, 1, 2, 3, 4)
# Section 4.1 calls a label consistency large when more than nine in ten channels keep their module.
AGREEMENT_THRESHOLD = 0.9


@dataclass(frozen=True, eq=False)
class SeedConsensus:
    """Runs that differ in their seed alone, compared with the first of them.

    Attributes:
        runs: The modules of each run, those after the first named as the first's; length R.
        label_agreement: Share of channels with the first run's label, shape (R,), float64; the
            first entry is 1.
        template_cosine: Cosine with the first run's templates, averaged over modules, shape (R,),
            float64; the first entry is 1 unless a template of the first run vanished.
    """

    runs: tuple[Modules, ...]
    label_agreement: npt.NDArray[np.float64]
    template_cosine: npt.NDArray[np.float64]

    @property
    def agreeing(self) -> npt.NDArray[np.bool_]:
        """Which runs agree with the first: label agreement of at least 0.9, shape (R,)."""
        return self.label_agreement >= AGREEMENT_THRESHOLD

    @property
    def agreeing_count(self) -> int:
        """How many runs agree with the first, itself among them."""
        return int(np.count_nonzero(self.agreeing))


def seed_consensus(
    features: Features,
    k: int,
    method: Method = Method.NMF,
    seeds: Sequence[int] = DEFAULT_SEEDS,
) -> SeedConsensus:
    """Groups the same channels under several seeds and compares each run with the first.

    Args:
        features: Of the channels.
        k: Number of modules, from 1 to the number of maps that are not empty.
        method: How channels are grouped.
        seeds: One run each, all different, at least one; from 0 to 2^32 - 1.

    Returns:
        The runs and how well each agrees with the first.

    Raises:
        InvalidInputError: An argument is malformed or out of range.
        KTooLargeError: There are fewer maps (for k-means: different maps) than modules.
        NotConvergedError: A run reached its iteration limit.
    """
    require_distinct("seeds", seeds)
    found = [find_modules(features, k, method, seed) for seed in seeds]
    first = found[0]
    runs = tuple(renumbered(run, match_labels(first.labels, run.labels, k)) for run in found)
    return SeedConsensus(
        runs=runs,
        label_agreement=np.array([agreement(first.labels, run.labels) for run in runs]),
        template_cosine=np.array(
            [template_cosines(first.templates, run.templates).mean() for run in runs]
        ),
    )
