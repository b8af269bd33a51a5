"""The paper's analyses on arrays alone: latents in; influence maps, modules and agreement out.

    >>> import numpy as np
    >>> Draws(seed=0, pairs=range(2, 4), which=1).normals("z", shape=(100,)).shape
    (2, 100)
    >>> maps = np.zeros((4, 8, 8))  # elementary influence maps, (C, H, W)
    >>> maps[:2, :4, :4] = 1.0  # channels 0 and 1 paint one corner
    >>> maps[2:, 4:, 4:] = 1.0  # channels 2 and 3 the opposite one
    >>> modules = find_modules(features_of(maps, window=1), k=2, method=Method.KMEANS)
    >>> modules.sizes
    array([2, 2])
    >>> agreement(modules.labels, np.array([0, 0, 1, 1]))
    1.0

This package must not know files, sessions, protobuf, gRPC or threads.
"""

from graftscope.server.analysis._confidence import (
    LEAST_GROUPS,
    Confidence,
    label_confidence,
)
from graftscope.server.analysis._controls import as_many_channels, as_much_influence
from graftscope.server.analysis._errors import (
    AnalysisError,
    InvalidInputError,
    KTooLargeError,
    NotConvergedError,
    require_between,
    require_distinct,
    require_smoothing,
)
from graftscope.server.analysis._factors import import_libraries
from graftscope.server.analysis._features import (
    DEFAULT_PERCENTILE,
    DEFAULT_WINDOW,
    Features,
    features_of,
)
from graftscope.server.analysis._frechet import PAIRS_A_FEATURE
from graftscope.server.analysis._gaussian import Gaussian
from graftscope.server.analysis._greedy import (
    EffectOfSets,
    Ranking,
    first_sets,
    greedy_sets,
    random_orders,
    rank_greedily,
)
from graftscope.server.analysis._group_checks import (
    require_groups_of,
    require_product_groups_of,
)
from graftscope.server.analysis._interactions import (
    Interaction,
    interaction,
    module_pairs,
    symmetric,
)
from graftscope.server.analysis._jackknife import LEAST_ROWS, jackknife_stderr
from graftscope.server.analysis._latent_responses import LatentResponses, latent_responses
from graftscope.server.analysis._latents import Draws
from graftscope.server.analysis._magnitude import (
    Regression,
    magnitude_lines,
)
from graftscope.server.analysis._matching import (
    agreement,
    match_labels,
)
from graftscope.server.analysis._modules import (
    NO_MODULE,
    Method,
    Modules,
    find_modules,
    renumbered,
    without_impure,
)
from graftscope.server.analysis._moments import (
    MapMoments,
    RunningMoments,
    area_means,
)
from graftscope.server.analysis._nearest_neighbours import NEAREST
from graftscope.server.analysis._random_words import (
    GROUP_PAIRS,
    MAX_PAIRS,
    Which,
)
from graftscope.server.analysis._ratios import ratio_of_sums
from graftscope.server.analysis._reach_curves import (
    AreaBetween,
    ReachCurve,
    Reached,
    area_between,
    reach_curve,
)
from graftscope.server.analysis._realism import (
    MOST_NEAREST,
    REALISM_MEASURES,
    FeatureSet,
    Realism,
    realism,
)
from graftscope.server.analysis._seed_consensus import (
    seed_consensus,
)
from graftscope.server.analysis._shard_groups import (
    MOST_GROUPS,
    ShardGroups,
)
from graftscope.server.analysis._spectral import (
    Kernels,
    SpectralScore,
    kernel_gains,
    power_spectra,
    spectral_independence,
)
from graftscope.server.analysis._spill import image_regions, outside_sums, template_regions
from graftscope.server.analysis._stability import (
    DEFAULT_KS,
    DEFAULT_METHODS,
    DEFAULT_REPEATS,
    SuggestedK,
    cell_count,
    stability,
)
from graftscope.server.analysis._two_level import (
    Correction,
    Differences,
    Estimate,
    TwoLevels,
    best_share,
    relative_cost,
)
from graftscope.server.analysis._verdicts import (
    AttributeVerdicts,
    ClassPairVerdicts,
    Verdicts,
    are_probabilities,
    by_attribute,
    by_class_pair,
    class_verdicts,
    entropies,
    has_attributes,
    sign_verdicts,
)
from graftscope.server.analysis._wilson import wilson_interval

__all__ = [
    "DEFAULT_KS",
    "DEFAULT_METHODS",
    "DEFAULT_PERCENTILE",
    "DEFAULT_REPEATS",
    "DEFAULT_WINDOW",
    "GROUP_PAIRS",
    "LEAST_GROUPS",
    "LEAST_ROWS",
    "MAX_PAIRS",
    "MOST_GROUPS",
    "MOST_NEAREST",
    "NEAREST",
    "NO_MODULE",
    "PAIRS_A_FEATURE",
    "REALISM_MEASURES",
    "AnalysisError",
    "AreaBetween",
    "AttributeVerdicts",
    "ClassPairVerdicts",
    "Confidence",
    "Correction",
    "Differences",
    "Draws",
    "EffectOfSets",
    "Estimate",
    "FeatureSet",
    "Features",
    "Gaussian",
    "Interaction",
    "InvalidInputError",
    "KTooLargeError",
    "Kernels",
    "LatentResponses",
    "MapMoments",
    "Method",
    "Modules",
    "NotConvergedError",
    "Ranking",
    "ReachCurve",
    "Reached",
    "Realism",
    "Regression",
    "RunningMoments",
    "ShardGroups",
    "SpectralScore",
    "SuggestedK",
    "TwoLevels",
    "Verdicts",
    "Which",
    "agreement",
    "are_probabilities",
    "area_between",
    "area_means",
    "as_many_channels",
    "as_much_influence",
    "best_share",
    "by_attribute",
    "by_class_pair",
    "cell_count",
    "class_verdicts",
    "entropies",
    "features_of",
    "find_modules",
    "first_sets",
    "greedy_sets",
    "has_attributes",
    "image_regions",
    "import_libraries",
    "interaction",
    "jackknife_stderr",
    "kernel_gains",
    "label_confidence",
    "latent_responses",
    "magnitude_lines",
    "match_labels",
    "module_pairs",
    "outside_sums",
    "power_spectra",
    "random_orders",
    "rank_greedily",
    "ratio_of_sums",
    "reach_curve",
    "realism",
    "relative_cost",
    "renumbered",
    "require_between",
    "require_distinct",
    "require_groups_of",
    "require_product_groups_of",
    "require_smoothing",
    "seed_consensus",
    "sign_verdicts",
    "spectral_independence",
    "stability",
    "symmetric",
    "template_regions",
    "wilson_interval",
    "without_impure",
]
