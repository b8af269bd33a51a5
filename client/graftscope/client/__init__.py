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
    from graftscope.client._async_client import AsyncClient
    from graftscope.client._client import Client
    from graftscope.client._embedded import ADDRESS_VARIABLE
    from graftscope.client._jobs import (
        Estimate,
        Job,
        JobKind,
        JobState,
        Progress,
        ProgressCallback,
    )
    from graftscope.client._models import ImageFormat, Input, Json, Layer, LayerKind, Model
    from graftscope.client._originals import (
        Encoded,
        ImagePairs,
        Images,
        LatentPairs,
        Latents,
        Originals,
        Prior,
    )
    from graftscope.client._results import (
        Execution,
        HybridResult,
        InfluenceResult,
        ModulesResult,
        Posterior,
        Precision,
        Samples,
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
        StabilityTask,
        Task,
    )
    from graftscope.client._version import VersionWarning, client_version
    from graftscope.client.errors import GraftscopeError

__all__ = [
    "ADDRESS_VARIABLE",
    "AnalysisResult",
    "AsyncClient",
    "Client",
    "Encoded",
    "Estimate",
    "Execution",
    "GraftscopeError",
    "HybridResult",
    "ImageFormat",
    "ImagePairs",
    "Images",
    "InfluenceResult",
    "InfluenceTask",
    "Input",
    "Job",
    "JobKind",
    "JobState",
    "Json",
    "LatentPairs",
    "Latents",
    "Layer",
    "LayerKind",
    "MagnitudeResult",
    "MagnitudeTask",
    "Method",
    "Model",
    "ModulesResult",
    "ModulesTask",
    "Originals",
    "Posterior",
    "Precision",
    "Prior",
    "Progress",
    "ProgressCallback",
    "Regression",
    "Samples",
    "Source",
    "StabilityResult",
    "StabilityTask",
    "SuggestedK",
    "Task",
    "VersionWarning",
    "client_version",
]

_HOMES = {
    "_async_client": ("AsyncClient",),
    "_client": ("Client",),
    "_embedded": ("ADDRESS_VARIABLE",),
    "_jobs": (
        "Estimate",
        "Job",
        "JobKind",
        "JobState",
        "Progress",
        "ProgressCallback",
    ),
    "_models": (
        "ImageFormat",
        "Input",
        "Json",
        "Layer",
        "LayerKind",
        "Model",
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
    "_results": (
        "Execution",
        "HybridResult",
        "InfluenceResult",
        "ModulesResult",
        "Posterior",
        "Precision",
        "Samples",
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
        "StabilityTask",
        "Task",
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
