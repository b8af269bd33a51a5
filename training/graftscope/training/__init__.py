"""Training of the generators that Graftscope takes apart: Table 1's VAEs and GANs.

    from graftscope.training import load_checkpoint, train

    result = train("vae-celeba", "celeba.zip", "runs/vae-celeba")
    checkpoint = load_checkpoint(result.checkpoint)

Nothing here prints, and nothing knows gRPC, ONNX or any other room. The public names are
loaded when they are first used, because torch is slow to import and the worker processes that
decode images, and whoever only lists the recipes, have no use for it.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graftscope.training.architecture import Architecture, Layer
    from graftscope.training.checkpoint import (
        Checkpoint,
        CheckpointConfig,
        Metrics,
        Originals,
        load_checkpoint,
    )
    from graftscope.training.data import DataDescription, SkippedImage
    from graftscope.training.errors import TrainingError
    from graftscope.training.loop import TrainResult, train
    from graftscope.training.networks import Discriminator, Encoder, Generator
    from graftscope.training.photographs import Photographs, open_photographs
    from graftscope.training.progress import (
        PlanCallback,
        ProgressCallback,
        Stage,
        TrainPlan,
        TrainProgress,
    )
    from graftscope.training.quality import Quality, load_quality, measure
    from graftscope.training.recipes import RECIPES, Recipe

__all__ = [
    "RECIPES",
    "Architecture",
    "Checkpoint",
    "CheckpointConfig",
    "DataDescription",
    "Discriminator",
    "Encoder",
    "Generator",
    "Layer",
    "Metrics",
    "Originals",
    "Photographs",
    "PlanCallback",
    "ProgressCallback",
    "Quality",
    "Recipe",
    "SkippedImage",
    "Stage",
    "TrainPlan",
    "TrainProgress",
    "TrainResult",
    "TrainingError",
    "load_checkpoint",
    "load_quality",
    "measure",
    "open_photographs",
    "train",
]

_HOMES = {
    "architecture": ("Architecture", "Layer"),
    "checkpoint": ("Checkpoint", "CheckpointConfig", "Metrics", "Originals", "load_checkpoint"),
    "data": ("DataDescription", "SkippedImage"),
    "errors": ("TrainingError",),
    "loop": ("TrainResult", "train"),
    "networks": ("Discriminator", "Encoder", "Generator"),
    "photographs": ("Photographs", "open_photographs"),
    "progress": ("PlanCallback", "ProgressCallback", "Stage", "TrainPlan", "TrainProgress"),
    "quality": ("Quality", "load_quality", "measure"),
    "recipes": ("RECIPES", "Recipe"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

for _library in ("torch", "accelerate", "safetensors", "torchmetrics"):
    if find_spec(_library) is None:
        raise ImportError(
            f"graftscope.training needs {_library}, which is not installed; "
            "install it with: pip install 'graftscope[train]'"
        )


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
