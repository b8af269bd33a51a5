"""Photographs edited by what a hybrid changes, so that they keep what the generator cannot draw.

A reconstruction is blurred and loses what its latents do not tell, and so does a hybrid of it.
Their difference is what the intervention did; added to the photograph, it changes nothing else.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine._originals import to_range
from graftscope.server.engine._samples_and_hybrids import Hybrids
from graftscope.v1 import bundle_pb2


@dataclass(frozen=True, eq=False)
class EditedPhotographs:
    """Photographs, each (B, c, H, W) in the generator's range.

    Attributes:
        photograph1: of which original 1 is the reconstruction.
        edited: photograph1 + (hybrid - original 1), clipped to the range.
        clipped: the share of its values that lay outside.
    """

    photograph1: NDArray[np.float32]
    edited: NDArray[np.float32]
    clipped: float


def edit_photographs(
    photographs: NDArray[np.uint8], hybrids: Hybrids, image: bundle_pb2.Image
) -> EditedPhotographs:
    """Add to photographs what hybrids change of their reconstructions.

    Args:
        photographs: (B, H, W, c), of which originals 1 are the reconstructions.
        hybrids: of those originals.
        image: size and range of the generator's images.
    """
    given = to_range(photographs, image)
    changed = given + (hybrids.hybrid - hybrids.original1)
    edited = np.clip(changed, np.float32(image.low), np.float32(image.high))
    return EditedPhotographs(given, edited, float((edited != changed).mean()))
