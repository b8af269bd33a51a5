"""Requests and results as values that check themselves: one module an analysis.

What a request may say is declared here once: ranges, defaults, and how the command line asks for
it. It must not know protobuf's messages, calls or clients.
"""

from graftscope.client.values._asking_channels import asking_channels
from graftscope.client.values._confidence import (
    NONE,
    RIVAL,
    SURE,
    Between,
    between_modules,
    own_probability,
)
from graftscope.client.values._contents import FloatArray, IntArray
from graftscope.client.values._encoding import ImageEncoding
from graftscope.client.values._execution import Deviation, Execution, Precision
from graftscope.client.values._exploration import Explored, ExploreTask
from graftscope.client.values._faithfulness import MEASURES, FaithfulnessResult, FaithfulnessTask
from graftscope.client.values._from_client import Grafts
from graftscope.client.values._grouping import MAPS, Method
from graftscope.client.values._hybrids import HybridFiles, HybridResult, HybridsTask
from graftscope.client.values._independence import IndependenceResult, IndependenceTask
from graftscope.client.values._influence import InfluenceResult, InfluenceTask
from graftscope.client.values._jobs import (
    AnalysisResult,
    AsyncAnalysisResult,
    Estimate,
    HybridTask,
    Job,
    JobKind,
    JobState,
    Progress,
    ProgressCallback,
    Task,
)
from graftscope.client.values._layers import LayersResult, divided, layer_path
from graftscope.client.values._magnitude import COLUMNS, MagnitudeResult, MagnitudeTask, Regression
from graftscope.client.values._module import Module
from graftscope.client.values._modules import (
    OLDER,
    AnyModules,
    AsyncModules,
    GivenMaps,
    Maps,
    ModulesResult,
    ModulesTask,
    Stored,
)
from graftscope.client.values._networks import AnyNetwork, ImageNetwork, Layout, Preprocessing
from graftscope.client.values._of_maps import OfMaps
from graftscope.client.values._pair_groups import GROUP_PRODUCTS, GROUPS, PairGroups
from graftscope.client.values._pairs import (
    PAIRS,
    STRATIFIED_PAIRS,
    Encoded,
    Fixed,
    FixedInputs,
    ImagePairs,
    Images,
    LatentPairs,
    Originals,
    PairCount,
    Pairs,
    PairSeed,
    Prior,
    Shared,
    fixed,
    fixed_values,
    lacks_second,
    told_pairs,
)
from graftscope.client.values._partial import PartialResult
from graftscope.client.values._probe import (
    ProbedClassifier,
    ProbeResult,
    ProbeTask,
    StatedPreprocessing,
)
from graftscope.client.values._reach import LATENTS, ReachResult, ReachTask
from graftscope.client.values._samples import (
    Posterior,
    PosteriorTask,
    SampleFiles,
    Samples,
    SamplesTask,
)
from graftscope.client.values._so_far import (
    LayerModules,
    ModulesAsked,
    ModulesSoFar,
    PartialMaps,
    SoFar,
    modules_asked,
)
from graftscope.client.values._stability import StabilityResult, StabilityTask, SuggestedK
from graftscope.client.values._stopping import (
    ConfidentLabels,
    RelativeError,
    StableLabels,
    Stopping,
    Together,
    Until,
    bare,
    ruled,
    settings_named,
)
from graftscope.client.values._strips import PICTURES, Strengths, Strip, StripTask, told_strengths
from graftscope.client.values._told_faithfulness import COLUMNS as FAITHFULNESS_COLUMNS
from graftscope.client.values._told_faithfulness import (
    FaithfulnessRow,
    rows_beside,
    rows_of_modules,
    told_faithfulness,
    told_reference,
    told_verdicts,
)
from graftscope.client.values._told_independence import (
    IndependenceTable,
    independence_tables,
    told_independence,
    told_mixture,
)
from graftscope.client.values._told_influence import told_precision, told_stop

__all__ = [
    "COLUMNS",
    "FAITHFULNESS_COLUMNS",
    "GROUPS",
    "GROUP_PRODUCTS",
    "LATENTS",
    "MAPS",
    "MEASURES",
    "NONE",
    "OLDER",
    "PAIRS",
    "PICTURES",
    "RIVAL",
    "STRATIFIED_PAIRS",
    "SURE",
    "AnalysisResult",
    "AnyModules",
    "AnyNetwork",
    "AsyncAnalysisResult",
    "AsyncModules",
    "Between",
    "ConfidentLabels",
    "Deviation",
    "Encoded",
    "Estimate",
    "Execution",
    "ExploreTask",
    "Explored",
    "FaithfulnessResult",
    "FaithfulnessRow",
    "FaithfulnessTask",
    "Fixed",
    "FixedInputs",
    "FloatArray",
    "GivenMaps",
    "Grafts",
    "HybridFiles",
    "HybridResult",
    "HybridTask",
    "HybridsTask",
    "ImageEncoding",
    "ImageNetwork",
    "ImagePairs",
    "Images",
    "IndependenceResult",
    "IndependenceTable",
    "IndependenceTask",
    "InfluenceResult",
    "InfluenceTask",
    "IntArray",
    "Job",
    "JobKind",
    "JobState",
    "LatentPairs",
    "LayerModules",
    "LayersResult",
    "Layout",
    "MagnitudeResult",
    "MagnitudeTask",
    "Maps",
    "Method",
    "Module",
    "ModulesAsked",
    "ModulesResult",
    "ModulesSoFar",
    "ModulesTask",
    "OfMaps",
    "Originals",
    "PairCount",
    "PairGroups",
    "PairSeed",
    "Pairs",
    "PartialMaps",
    "PartialResult",
    "Posterior",
    "PosteriorTask",
    "Precision",
    "Preprocessing",
    "Prior",
    "ProbeResult",
    "ProbeTask",
    "ProbedClassifier",
    "Progress",
    "ProgressCallback",
    "ReachResult",
    "ReachTask",
    "Regression",
    "RelativeError",
    "SampleFiles",
    "Samples",
    "SamplesTask",
    "Shared",
    "SoFar",
    "StabilityResult",
    "StabilityTask",
    "StableLabels",
    "StatedPreprocessing",
    "Stopping",
    "Stored",
    "Strengths",
    "Strip",
    "StripTask",
    "SuggestedK",
    "Task",
    "Together",
    "Until",
    "asking_channels",
    "bare",
    "between_modules",
    "divided",
    "fixed",
    "fixed_values",
    "independence_tables",
    "lacks_second",
    "layer_path",
    "modules_asked",
    "own_probability",
    "rows_beside",
    "rows_of_modules",
    "ruled",
    "settings_named",
    "told_faithfulness",
    "told_independence",
    "told_mixture",
    "told_pairs",
    "told_precision",
    "told_reference",
    "told_stop",
    "told_strengths",
    "told_verdicts",
]
