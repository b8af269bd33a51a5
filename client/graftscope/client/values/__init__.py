"""Requests and results as values that check themselves: one module an analysis.

What a request may say is declared here once: ranges, defaults, and how the command line asks for
it. It must not know protobuf's messages, calls or clients.
"""

from graftscope.client.values._contents import FloatArray, IntArray
from graftscope.client.values._encoding import ImageEncoding
from graftscope.client.values._execution import Deviation, Execution, Precision
from graftscope.client.values._exploration import Explored, ExploreTask
from graftscope.client.values._grouping import MAPS, Method
from graftscope.client.values._hybrids import HybridFiles, HybridResult, HybridsTask
from graftscope.client.values._influence import (
    InfluenceResult,
    InfluenceTask,
    LayersResult,
    divided,
    layer_path,
    told_precision,
    told_stop,
)
from graftscope.client.values._jobs import (
    AnalysisResult,
    Estimate,
    HybridTask,
    Job,
    JobKind,
    JobState,
    Progress,
    ProgressCallback,
    Task,
)
from graftscope.client.values._magnitude import COLUMNS, MagnitudeResult, MagnitudeTask, Regression
from graftscope.client.values._modules import (
    NONE,
    OLDER,
    SURE,
    Between,
    GivenMaps,
    Maps,
    ModulesResult,
    ModulesTask,
    Stored,
)
from graftscope.client.values._pair_groups import GROUPS, PairGroups
from graftscope.client.values._pairs import (
    PAIRS,
    STRATIFIED_PAIRS,
    Encoded,
    Fixed,
    ImagePairs,
    Images,
    LatentPairs,
    Originals,
    Pairs,
    Prior,
    fixed,
    fixed_values,
    lacks_second,
)
from graftscope.client.values._partial import PartialResult
from graftscope.client.values._samples import (
    Posterior,
    PosteriorTask,
    SampleFiles,
    Samples,
    SamplesTask,
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
)
from graftscope.client.values._strips import PICTURES, Strengths, Strip, StripTask, told_strengths

__all__ = [
    "COLUMNS",
    "GROUPS",
    "MAPS",
    "NONE",
    "OLDER",
    "PAIRS",
    "PICTURES",
    "STRATIFIED_PAIRS",
    "SURE",
    "AnalysisResult",
    "Between",
    "ConfidentLabels",
    "Deviation",
    "Encoded",
    "Estimate",
    "Execution",
    "ExploreTask",
    "Explored",
    "Fixed",
    "FloatArray",
    "GivenMaps",
    "HybridFiles",
    "HybridResult",
    "HybridTask",
    "HybridsTask",
    "ImageEncoding",
    "ImagePairs",
    "Images",
    "InfluenceResult",
    "InfluenceTask",
    "IntArray",
    "Job",
    "JobKind",
    "JobState",
    "LatentPairs",
    "LayersResult",
    "MagnitudeResult",
    "MagnitudeTask",
    "Maps",
    "Method",
    "ModulesResult",
    "ModulesTask",
    "Originals",
    "PairGroups",
    "Pairs",
    "PartialResult",
    "Posterior",
    "PosteriorTask",
    "Precision",
    "Prior",
    "Progress",
    "ProgressCallback",
    "Regression",
    "RelativeError",
    "SampleFiles",
    "Samples",
    "SamplesTask",
    "StabilityResult",
    "StabilityTask",
    "StableLabels",
    "Stopping",
    "Stored",
    "Strengths",
    "Strip",
    "StripTask",
    "SuggestedK",
    "Task",
    "Together",
    "Until",
    "bare",
    "divided",
    "fixed",
    "fixed_values",
    "lacks_second",
    "layer_path",
    "ruled",
    "told_precision",
    "told_stop",
    "told_strengths",
]
