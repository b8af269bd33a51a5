"""The part of a proof that edits: every layer can be spliced and its effects reduced.

It builds the very graphs that are run later, so that no bundle is written that cannot be edited.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._compare import compare
from graftscope.exporter._sessions import Session
from graftscope.exporter.errors import ProofError
from graftscope.graph import (
    HYBRIDS,
    IMAGE1,
    ORIGINAL1,
    ORIGINAL2,
    PIXEL_MEANS,
    SETS,
    GraphError,
    reduce_effects,
    splice,
)
from graftscope.v1 import bundle_pb2

_CHANNEL_AXIS: Final = {
    bundle_pb2.LAYER_KIND_MAP: 1,
    bundle_pb2.LAYER_KIND_VECTOR: 1,
    bundle_pb2.LAYER_KIND_TOKENS: 2,
}

Tensors = Mapping[str, NDArray[np.generic]]


def prove_splicing(
    folder: Path,
    layer: bundle_pb2.Layer,
    crossing: Tensors,
    images: NDArray[np.float32],
    allowed: float,
) -> None:
    """Prove that splicing no channel of a layer gives original 1, and an effect of 0.

    Args:
        folder: Where the bundle's files lie.
        layer: The layer.
        crossing: The layer's activation and what is carried, (B, ...), by the tensor's name;
            original 2 is the sample before in the batch.
        images: The generator's images of them, (B, c, H, W).
        allowed: Largest difference between images.

    Raises:
        ProofError: If the layer cannot be spliced, or it gives something else.
    """
    tensors = {
        **crossing,
        ORIGINAL1: crossing[layer.tensor],
        ORIGINAL2: np.roll(crossing[layer.tensor], 1, axis=0),
        SETS: np.zeros((1, layer.channels), dtype=np.bool_),
        IMAGE1: images,
    }
    what = f"layer {layer.name!r}: splicing no channel, against original 1 (batch {len(images)}),"
    hybrids = _spliced(folder, layer, reduced=False).run(tensors)[HYBRIDS]
    compare(what, hybrids, images, allowed)
    effects = _spliced(folder, layer, reduced=True).run(tensors)[PIXEL_MEANS]
    what = f"layer {layer.name!r}: the effect of splicing no channel (batch {len(images)})"
    compare(what, effects, np.zeros((1, len(images))), allowed)


def _spliced(folder: Path, layer: bundle_pb2.Layer, *, reduced: bool) -> Session:
    path = folder / layer.downstream
    try:
        axis = _CHANNEL_AXIS[layer.kind]
        model = splice(ir.load(path), activation=layer.tensor, channel_axis=axis)
        if reduced:
            model = reduce_effects(model)
    except GraphError as error:
        raise ProofError(f"layer {layer.name!r} cannot be spliced: {error}") from error
    return Session(path, optimised=True, content=ir.to_proto(model).SerializeToString())
