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
from graftscope.server.analysis._gaussian import gaussian
from graftscope.server.analysis._latents import (
    class_labels,
    image_indices,
    standard_normal,
    uniform,
)
from graftscope.server.analysis._matching import agreement, match_labels, template_cosines
from graftscope.server.analysis._modules import NO_MODULE, Method, Modules, find_modules
from graftscope.server.analysis._moments import (
    MapMoments,
    merge_in_order,
)
from graftscope.server.analysis._philox import Pairs, Which
from graftscope.server.analysis._preprocess import (
    DEFAULT_PERCENTILE,
    DEFAULT_WINDOW,
    BinaryMaps,
    preprocess,
)

__all__ = [
    "AGREEMENT_THRESHOLD",
    "DEFAULT_PERCENTILE",
    "DEFAULT_SEEDS",
    "DEFAULT_WINDOW",
    "NO_MODULE",
    "AnalysisError",
    "BinaryMaps",
    "InvalidInputError",
    "KTooLargeError",
    "MapMoments",
    "Method",
    "Modules",
    "NotConvergedError",
    "Pairs",
    "SeedConsensus",
    "Which",
    "agreement",
    "class_labels",
    "find_modules",
    "gaussian",
    "image_indices",
    "match_labels",
    "merge_in_order",
    "preprocess",
    "seed_consensus",
    "standard_normal",
    "template_cosines",
    "uniform",
]
