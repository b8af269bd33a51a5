"""From a bundle to a model repository of Triton Inference Server, checked before it is there.

::

    DIR/NAME/                   config.pbtxt, 1/model.onnx: latents -> image
    DIR/NAME.LAYER.upstream/    latents -> activation, carried tensors
    DIR/NAME.LAYER.downstream/  activation, carried tensors -> image
    DIR/NAME.LAYER.splice/      two activations and a set of channels -> activation
    DIR/NAME.LAYER.hybrid/      an ensemble of these: two latents and a set of channels -> image

Graphs and weights are the bundle's own, byte for byte. It knows ONNX Runtime; it must not know
torch, gRPC or Triton's client.
"""

from graftscope.exporter.triton._export import (
    MAX_BATCH,
    TritonPlan,
    TritonRepository,
    export_triton,
)
from graftscope.exporter.triton._folder import require_repository

__all__ = [
    "MAX_BATCH",
    "TritonPlan",
    "TritonRepository",
    "export_triton",
    "require_repository",
]
