"""From a trained PyTorch generator to a bundle: graphs split at every layer, with proof.

::

    from graftscope.exporter import export

    exported = export("runs/vae-celeba", "bundles/vae-celeba")
    print(exported.manifest.layers, *exported.notes)

It knows PyTorch and ONNX Runtime; it must not know gRPC or the server.
"""

from graftscope.exporter._classifier import train_classifier, write_classifier
from graftscope.exporter._export import Exported, export
from graftscope.exporter._torch_generator import torch_generator
from graftscope.exporter.errors import (
    ExportError,
    ProofError,
    SourceError,
    SourceNotFoundError,
    TargetExistsError,
)
from graftscope.exporter.inversion import (
    InvertedPhotographs,
    invert_photographs,
    train_inverter,
)
from graftscope.exporter.progress import ExportCallback, ExportProgress, ExportStage

__all__ = [
    "ExportCallback",
    "ExportError",
    "ExportProgress",
    "ExportStage",
    "Exported",
    "InvertedPhotographs",
    "ProofError",
    "SourceError",
    "SourceNotFoundError",
    "TargetExistsError",
    "export",
    "invert_photographs",
    "torch_generator",
    "train_classifier",
    "train_inverter",
    "write_classifier",
]
