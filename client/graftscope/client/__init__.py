"""Graftscope's client: ask a server for samples, hybrids, influence maps and modules.

::

    from graftscope.client import Client

    with Client() as client:                       # an embedded server, or Client("host:port")
        maps = client.influence("vae-celeba", "intermediate", pairs=200)
        modules = client.modules(maps, k=3)
        hybrids = client.hybridize(
            "vae-celeba", "intermediate", labels=modules.labels, module=0, pairs=8
        )

It must not import torch or ONNX Runtime; the server's room only to start an embedded one. The
names below are loaded when they are first used: the command line has to set up gRPC before gRPC
is imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graftscope.client._actions import (
        PRIOR_MEAN,
        Action,
        Add,
        Blend,
        Constant,
        Donor,
        ImageDonor,
        Original2,
        PriorMean,
        Scale,
        StoredLatents,
        Swap,
    )
    from graftscope.client._async_client import AsyncClient
    from graftscope.client._client import Client
    from graftscope.client._embedded import ADDRESS_VARIABLE
    from graftscope.client._encodings import HybridFiles, ImageEncoding, SampleFiles
    from graftscope.client._execution import Deviation, Execution, Precision
    from graftscope.client._finding import FoundChannels, find_channels
    from graftscope.client._fixed import Fixed
    from graftscope.client._interventions import Edit, Intervention, Mask, ModuleOf, Rectangle
    from graftscope.client._jobs import (
        Estimate,
        Job,
        JobKind,
        JobState,
        Progress,
        ProgressCallback,
    )
    from graftscope.client._layers import LayersResult
    from graftscope.client._masks import read_mask
    from graftscope.client._models import (
        ImageFormat,
        Input,
        Json,
        Layer,
        LayerKind,
        Model,
        TorchHook,
    )
    from graftscope.client._originals import (
        Encoded,
        ImagePairs,
        Images,
        LatentPairs,
        Latents,
        Originals,
        Prior,
    )
    from graftscope.client._regions import Contrast, rectangle_region
    from graftscope.client._results import (
        HybridResult,
        InfluenceResult,
        ModulesResult,
        Posterior,
        Samples,
        Stopping,
    )
    from graftscope.client._sources import Source
    from graftscope.client._sweeps import (
        AnalysisResult,
        MagnitudeResult,
        Regression,
        StabilityResult,
        SuggestedK,
    )
    from graftscope.client._tasks import (
        InfluenceTask,
        MagnitudeTask,
        Method,
        ModulesTask,
        RelativeError,
        StabilityTask,
        StableLabels,
        Task,
        Until,
    )
    from graftscope.client._version import VersionWarning, client_version
    from graftscope.client.errors import GraftscopeError

__all__ = [
    "ADDRESS_VARIABLE",
    "PRIOR_MEAN",
    "Action",
    "Add",
    "AnalysisResult",
    "AsyncClient",
    "Blend",
    "Client",
    "Constant",
    "Contrast",
    "Deviation",
    "Donor",
    "Edit",
    "Encoded",
    "Estimate",
    "Execution",
    "Fixed",
    "FoundChannels",
    "GraftscopeError",
    "HybridFiles",
    "HybridResult",
    "ImageDonor",
    "ImageEncoding",
    "ImageFormat",
    "ImagePairs",
    "Images",
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
    "LayersResult",
    "MagnitudeResult",
    "MagnitudeTask",
    "Mask",
    "Method",
    "Model",
    "ModuleOf",
    "ModulesResult",
    "ModulesTask",
    "Original2",
    "Originals",
    "Posterior",
    "Precision",
    "Prior",
    "PriorMean",
    "Progress",
    "ProgressCallback",
    "Rectangle",
    "Regression",
    "RelativeError",
    "SampleFiles",
    "Samples",
    "Scale",
    "Source",
    "StabilityResult",
    "StabilityTask",
    "StableLabels",
    "Stopping",
    "StoredLatents",
    "SuggestedK",
    "Swap",
    "Task",
    "TorchHook",
    "Until",
    "VersionWarning",
    "client_version",
    "find_channels",
    "read_mask",
    "rectangle_region",
]

_HOMES = {
    "_actions": (
        "PRIOR_MEAN",
        "Action",
        "Add",
        "Blend",
        "Constant",
        "Donor",
        "ImageDonor",
        "Original2",
        "PriorMean",
        "Scale",
        "StoredLatents",
        "Swap",
    ),
    "_async_client": ("AsyncClient",),
    "_client": ("Client",),
    "_embedded": ("ADDRESS_VARIABLE",),
    "_encodings": ("HybridFiles", "ImageEncoding", "SampleFiles"),
    "_execution": ("Deviation", "Execution", "Precision"),
    "_finding": ("FoundChannels", "find_channels"),
    "_fixed": ("Fixed",),
    "_interventions": (
        "Edit",
        "Intervention",
        "Mask",
        "ModuleOf",
        "Rectangle",
    ),
    "_jobs": (
        "Estimate",
        "Job",
        "JobKind",
        "JobState",
        "Progress",
        "ProgressCallback",
    ),
    "_layers": ("LayersResult",),
    "_masks": ("read_mask",),
    "_models": (
        "ImageFormat",
        "Input",
        "Json",
        "Layer",
        "LayerKind",
        "Model",
        "TorchHook",
    ),
    "_originals": (
        "Encoded",
        "ImagePairs",
        "Images",
        "LatentPairs",
        "Latents",
        "Originals",
        "Prior",
    ),
    "_regions": ("Contrast", "rectangle_region"),
    "_results": (
        "HybridResult",
        "InfluenceResult",
        "ModulesResult",
        "Posterior",
        "Samples",
        "Stopping",
    ),
    "_sources": ("Source",),
    "_sweeps": (
        "AnalysisResult",
        "MagnitudeResult",
        "Regression",
        "StabilityResult",
        "SuggestedK",
    ),
    "_tasks": (
        "InfluenceTask",
        "MagnitudeTask",
        "Method",
        "ModulesTask",
        "RelativeError",
        "StabilityTask",
        "StableLabels",
        "Task",
        "Until",
    ),
    "_version": (
        "VersionWarning",
        "client_version",
    ),
    "errors": ("GraftscopeError",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, whether they are loaded or not."""
    return sorted(__all__)
