"""From messages to masks: where on an activation map something is assigned.

It must not know what is assigned.
"""

import numpy as np
from numpy.typing import NDArray

from graftscope.server.errors import InvalidInput
from graftscope.server.rpc._arrays import Arrays
from graftscope.v1 import bundle_pb2, intervention_pb2

_FIELD = "intervention.edits.mask"


async def parse_mask(
    arrays: Arrays, message: intervention_pb2.Mask, layer: bundle_pb2.Layer
) -> NDArray[np.bool_] | None:
    """A mask over a layer's map, (h, w), tokens (N, 1); None for everywhere.

    Raises:
        InvalidInput: the layer has no places, or the mask does not fit or selects none.
        NotFound: an array does not exist.
    """
    area = message.WhichOneof("area")
    if area is None:
        return None
    if layer.kind == bundle_pb2.LAYER_KIND_VECTOR:
        raise InvalidInput(
            f"layer {layer.name!r} is a vector, so it has no places and cannot be masked",
            field=_FIELD,
        )
    if area == "rectangle":
        mask = _rectangle(message.rectangle, layer)
    else:
        mask = _checked(await arrays.read(message.array, _FIELD), layer)
    # What is masked everywhere is not masked: equal interventions have equal specifications.
    return None if mask.all() else mask


def _rectangle(area: intervention_pb2.Rectangle, layer: bundle_pb2.Layer) -> NDArray[np.bool_]:
    bottom, right = area.top + area.height, area.left + area.width
    if 0 in (area.height, area.width):
        raise InvalidInput(
            f"the rectangle is {area.height} x {area.width}; its sides are at least 1", field=_FIELD
        )
    if bottom > layer.height or right > layer.width:
        raise InvalidInput(
            f"the rectangle covers rows {area.top} to {bottom - 1} and columns {area.left} to "
            f"{right - 1}; layer {layer.name!r} has rows 0 to {layer.height - 1} and columns 0 to "
            f"{layer.width - 1}",
            field=_FIELD,
        )
    mask = np.zeros((layer.height, layer.width), dtype=np.bool_)
    mask[area.top : bottom, area.left : right] = True
    return mask


def _checked(mask: NDArray[np.generic], layer: bundle_pb2.Layer) -> NDArray[np.bool_]:
    wanted = (layer.height, layer.width)
    if mask.dtype != np.bool_ or mask.shape != wanted:
        raise InvalidInput(
            f"the mask is {mask.dtype} of shape {mask.shape}; booleans of shape {wanted} are "
            f"needed at layer {layer.name!r}",
            field=_FIELD,
        )
    if not mask.any():
        raise InvalidInput(
            "the mask is false everywhere; at least one place is needed", field=_FIELD
        )
    return mask.astype(np.bool_, copy=False)
