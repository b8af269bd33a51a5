"""The paper's analyses on arrays alone: latents in; influence maps, modules and agreement out.

    >>> import numpy as np
    >>> standard_normal(seed=0, pairs=range(2, 4), which=1, name="z", shape=(100,)).shape
    (2, 100)
    >>> maps = np.zeros((4, 8, 8))  # elementary influence maps, (C, H, W)
    >>> maps[:2, :4, :4] = 1.0  # channels 0 and 1 paint one corner
    >>> maps[2:, 4:, 4:] = 1.0  # channels 2 and 3 the opposite one
    >>> modules = find_modules(maps, k=2, method=Method.KMEANS, window=1)
    >>> modules.sizes
    array([2, 2])
    >>> agreement(modules.labels, np.array([0, 0, 1, 1]))
    1.0

This package must not know files, sessions, protobuf, gRPC or threads.
"""

from graftscope.server.analysis._areas import area_means
from graftscope.server.analysis._consensus import (
    AGREEMENT_THRESHOLD,
    DEFAULT_SEEDS,
    SeedConsensus,
    seed_consensus,
)
from graftscope.server.analysis._errors import (
    AnalysisError,
    InvalidInputError,
    KTooLargeError,
    NotConvergedError,
)
from graftscope.server.analysis._gaussian import Gaussian, gaussian
from graftscope.server.analysis._latents import (
    class_labels,
    image_indices,
    standard_normal,
    stored_rows,
    truncated_normal,
    uniform,
)
from graftscope.server.analysis._magnitude import (
    POOLED,
    MagnitudeLines,
    Regression,
    magnitude_lines,
)
from graftscope.server.analysis._matching import agreement, match_labels, template_cosines
from graftscope.server.analysis._modules import (
    NO_MODULE,
    Method,
    Modules,
    find_modules,
    without_impure,
)
from graftscope.server.analysis._moments import (
    MapMoments,
    RunningMoments,
    merge_in_order,
)
from graftscope.server.analysis._philox import Pairs, Which
from graftscope.server.analysis._preprocess import (
    DEFAULT_PERCENTILE,
    DEFAULT_WINDOW,
    BinaryMaps,
    preprocess,
)
from graftscope.server.analysis._stability import (
    DEFAULT_KS,
    DEFAULT_METHODS,
    DEFAULT_REPEATS,
    Each,
    Stability,
    SuggestedK,
    cell_count,
    stability,
    suggest_k,
)
from graftscope.server.analysis._strata import GROUP_PAIRS

__all__ = [
    "AGREEMENT_THRESHOLD",
    "DEFAULT_KS",
    "DEFAULT_METHODS",
    "DEFAULT_PERCENTILE",
    "DEFAULT_REPEATS",
    "DEFAULT_SEEDS",
    "DEFAULT_WINDOW",
    "GROUP_PAIRS",
    "NO_MODULE",
    "POOLED",
    "AnalysisError",
    "BinaryMaps",
    "Each",
    "Gaussian",
    "InvalidInputError",
    "KTooLargeError",
    "MagnitudeLines",
    "MapMoments",
    "Method",
    "Modules",
    "NotConvergedError",
    "Pairs",
    "Regression",
    "RunningMoments",
    "SeedConsensus",
    "Stability",
    "SuggestedK",
    "Which",
    "agreement",
    "area_means",
    "cell_count",
    "class_labels",
    "find_modules",
    "gaussian",
    "image_indices",
    "magnitude_lines",
    "match_labels",
    "merge_in_order",
    "preprocess",
    "seed_consensus",
    "stability",
    "standard_normal",
    "stored_rows",
    "suggest_k",
    "template_cosines",
    "truncated_normal",
    "uniform",
    "without_impure",
]
