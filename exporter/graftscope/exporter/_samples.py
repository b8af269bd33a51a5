"""Images from the prior, to look at before a bundle is written."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._draw import Stored, draw_latents
from graftscope.exporter._subject import Reference
from graftscope.graph import cost_of
from graftscope.v1 import bundle_pb2

_MOST: Final = 64
_LEAST: Final = 4
_MOST_MFLOP: Final = 1e6
"""What all of them may cost: a minute or less."""


def sample_images(
    model: ir.Model, inputs: Sequence[bundle_pb2.Input], stored: Stored, compute: Reference
) -> NDArray[np.float32]:
    """Draw images one by one, fewer where one is expensive.

    Args:
        model: The generator's graph, which tells the cost.
        inputs: What it takes.
        stored: Arrays (1, ...) or (count, ...) by the bundle's file and the input's name.
        compute: Computes an image.

    Returns:
        Images (B, C, H, W), always the same ones.
    """
    affordable = int(_MOST_MFLOP / max(cost_of(model).mflop, 1.0))
    count = min(_MOST, max(_LEAST, affordable))
    latents = draw_latents(inputs, stored, count, seed=1)
    parts = [{name: array[i : i + 1] for name, array in latents.items()} for i in range(count)]
    return np.concatenate([compute(part)[0] for part in parts])
