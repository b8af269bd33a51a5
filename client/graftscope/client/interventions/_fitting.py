"""Interventions made to fit a model: masks of its layers' sizes, images of its images' size."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from graftscope.client.errors import InputError
from graftscope.client.interventions._actions import Action, Blend, Donor, ImageDonor, Swap
from graftscope.client.interventions._edits import Edit, Mask, Rectangle
from graftscope.client.models import ImageFormat, Layer, LayerKind, Model
from graftscope.client.pictures import fit_picture


def fitted_edit(edit: Edit, model: Model, at: int) -> Edit:
    """Fit one edit; see `Intervention.fitted`.

    Args:
        edit: The edit.
        model: Which generator.
        at: The edit's place in the intervention, for messages.

    Returns:
        The edit with what the model needs.
    """
    layer = model.layer(edit.layer)
    return replace(
        edit,
        action=_fitted_action(edit.action, model.image),
        mask=None if edit.mask is None else _fitted_mask(edit.mask, layer, at),
    )


def _fitted_action(action: Action, image: ImageFormat) -> Action:
    if isinstance(action, Swap | Blend):
        return replace(action, donor=_fitted_donor(action.donor, image))
    return action


def _fitted_donor(donor: Donor, image: ImageFormat) -> Donor:
    size = (image.height, image.width, image.channels)
    if not isinstance(donor, ImageDonor) or donor.image.shape == size:
        return donor
    return ImageDonor(fit_picture(donor.image, image))


def _fitted_mask(mask: Mask, layer: Layer, at: int) -> Mask:
    if isinstance(mask, Rectangle) or mask.shape == (layer.height, layer.width):
        return mask
    size = f"({layer.height}, {layer.width})"
    if layer.kind is not LayerKind.MAP:
        raise InputError(
            f"edit {at}: a mask of shape {mask.shape} does not fit layer {layer.name!r}, which is"
            f" no map but of kind {layer.kind}: only one of shape {size} does",
            field="mask",
        )
    found = _resampled(mask, layer.height, layer.width)
    if mask.any() and not found.any():
        raise InputError(
            f"edit {at}: the mask of shape {mask.shape} covers no place of layer {layer.name!r} of"
            f" size {size} by more than half: draw it larger",
            field="mask",
        )
    return found


def _resampled(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Bring a mask to another size: a place is inside where more than half of its area is."""
    # Pillow is for what reads pictures, and for masks that come from them.
    from PIL import Image

    areas = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    inside: NDArray[np.bool_] = np.asarray(areas) > 0.5
    return inside
