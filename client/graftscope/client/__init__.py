"""Graftscope's client: ask a server for samples, hybrids, influence maps and modules.

::

    from graftscope.client import Client

    with Client() as client:                       # an embedded server, or Client("host:port")
        maps = client.influence("vae-celeba", "intermediate", pairs=200)
        modules = client.modules(maps, k=3)
        hybrids = modules[0].hybridize(pairs=8)

It must not import torch or ONNX Runtime; the server's room only to start an embedded one. Every
name is
loaded when it is first used: the command line has to set up gRPC before that is imported, and its
help needs none of the rest, which takes a while.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graftscope.client._async_client import AsyncClient
    from graftscope.client._client import Client
    from graftscope.client._frame import Frame
    from graftscope.client.arrays import Latents, Source
    from graftscope.client.calls import ADDRESS_VARIABLE, TLS, AsyncExploration, Exploration
    from graftscope.client.comparing import Comparison, compare
    from graftscope.client.errors import GraftscopeError
    from graftscope.client.finding import (
        Contrast,
        FoundChannels,
        Spill,
        find_channels,
        rectangle_region,
        spill,
    )
    from graftscope.client.hooks import torch_code
    from graftscope.client.hybrid_sets import HybridSet, export_hybrids
    from graftscope.client.interventions import (
        PRIOR_MEAN,
        Action,
        Add,
        Blend,
        Constant,
        Donor,
        Edit,
        GivenChannels,
        ImageDonor,
        Intervention,
        Mask,
        ModuleOf,
        Original2,
        PriorMean,
        Rectangle,
        Scale,
        StoredLatents,
        Swap,
    )
    from graftscope.client.models import (
        ImageFormat,
        Input,
        Json,
        Layer,
        LayerKind,
        Model,
        TorchHook,
    )
    from graftscope.client.pictures import read_mask
    from graftscope.client.values import (
        AnalysisResult,
        AsyncAnalysisResult,
        AsyncModules,
        Between,
        ConfidentLabels,
        Deviation,
        Encoded,
        Estimate,
        Execution,
        Explored,
        ExploreTask,
        FaithfulnessResult,
        FaithfulnessTask,
        Fixed,
        HybridFiles,
        HybridResult,
        ImageEncoding,
        ImageNetwork,
        ImagePairs,
        Images,
        IndependenceResult,
        IndependenceTask,
        InfluenceResult,
        InfluenceTask,
        Job,
        JobKind,
        JobState,
        LatentPairs,
        LayerModules,
        LayersResult,
        Layout,
        MagnitudeResult,
        MagnitudeTask,
        Method,
        Module,
        ModulesResult,
        ModulesSoFar,
        ModulesTask,
        Originals,
        PairGroups,
        PartialMaps,
        PartialResult,
        Posterior,
        Precision,
        Preprocessing,
        Prior,
        ProbedClassifier,
        ProbeResult,
        ProbeTask,
        Progress,
        ProgressCallback,
        ReachResult,
        ReachTask,
        Regression,
        RelativeError,
        SampleFiles,
        Samples,
        SoFar,
        StabilityResult,
        StabilityTask,
        StableLabels,
        StatedPreprocessing,
        Stopping,
        Strip,
        SuggestedK,
        Task,
        Together,
        Until,
    )
    from graftscope.client.version import VersionWarning, client_version

__all__ = [
    "ADDRESS_VARIABLE",
    "PRIOR_MEAN",
    "TLS",
    "Action",
    "Add",
    "AnalysisResult",
    "AsyncAnalysisResult",
    "AsyncClient",
    "AsyncExploration",
    "AsyncModules",
    "Between",
    "Blend",
    "Client",
    "Comparison",
    "ConfidentLabels",
    "Constant",
    "Contrast",
    "Deviation",
    "Donor",
    "Edit",
    "Encoded",
    "Estimate",
    "Execution",
    "Exploration",
    "ExploreTask",
    "Explored",
    "FaithfulnessResult",
    "FaithfulnessTask",
    "Fixed",
    "FoundChannels",
    "Frame",
    "GivenChannels",
    "GraftscopeError",
    "HybridFiles",
    "HybridResult",
    "HybridSet",
    "ImageDonor",
    "ImageEncoding",
    "ImageFormat",
    "ImageNetwork",
    "ImagePairs",
    "Images",
    "IndependenceResult",
    "IndependenceTask",
    "InfluenceResult",
    "InfluenceTask",
    "Input",
    "Intervention",
    "Job",
    "JobKind",
    "JobState",
    "Json",
    "LatentPairs",
    "Latents",
    "Layer",
    "LayerKind",
    "LayerModules",
    "LayersResult",
    "Layout",
    "MagnitudeResult",
    "MagnitudeTask",
    "Mask",
    "Method",
    "Model",
    "Module",
    "ModuleOf",
    "ModulesResult",
    "ModulesSoFar",
    "ModulesTask",
    "Original2",
    "Originals",
    "PairGroups",
    "PartialMaps",
    "PartialResult",
    "Posterior",
    "Precision",
    "Preprocessing",
    "Prior",
    "PriorMean",
    "ProbeResult",
    "ProbeTask",
    "ProbedClassifier",
    "Progress",
    "ProgressCallback",
    "ReachResult",
    "ReachTask",
    "Rectangle",
    "Regression",
    "RelativeError",
    "SampleFiles",
    "Samples",
    "Scale",
    "SoFar",
    "Source",
    "Spill",
    "StabilityResult",
    "StabilityTask",
    "StableLabels",
    "StatedPreprocessing",
    "Stopping",
    "StoredLatents",
    "Strip",
    "SuggestedK",
    "Swap",
    "Task",
    "Together",
    "TorchHook",
    "Until",
    "VersionWarning",
    "client_version",
    "compare",
    "export_hybrids",
    "find_channels",
    "read_mask",
    "rectangle_region",
    "spill",
    "torch_code",
]

_HOMES = (
    *("errors", "version", "arrays", "models", "interventions", "values", "finding", "comparing"),
    *("hooks", "pictures", "calls", "_frame", "_client", "_async_client", "hybrid_sets"),
)
"""Where public names are defined, what takes long to load last."""


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it, when it is first asked for."""
    if name in __all__:
        for home in _HOMES:
            found = vars(import_module(f"{__name__}.{home}"))
            if name in found:
                return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, whether they are loaded or not."""
    return sorted(__all__)
