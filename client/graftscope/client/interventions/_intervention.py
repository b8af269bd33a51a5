"""Interventions: edits made at once, to and from files.

It stands on top of this package: what edits are, how they fit a model and how they are written down
lies below.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    ByValue,
    Displayed,
    file_name,
    finite_number,
    listed,
    write_bytes,
)
from graftscope.client.arrays import text as checked_text
from graftscope.client.errors import InputError
from graftscope.client.interventions._actions import (
    Action,
    Blend,
    Donor,
    ImageDonor,
    Original2,
    Swap,
    at_strength,
)
from graftscope.client.interventions._edits import Edit, Mask, Rectangle, require
from graftscope.client.interventions._files import read_file, read_json, to_json
from graftscope.client.models import ImageFormat, Layer, LayerKind, Model


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
    # Pillow takes a while to import.
    from graftscope.client.pictures import fit_picture

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


@dataclass(frozen=True, eq=False, repr=False)
class Intervention(ByValue, Displayed):
    """Edits at one layer or at several, made at once (Definitions 2 and 5).

    ::

        Intervention([Edit("intermediate", channels=[3, 7], action=Scale(2.0))])

    Donors are recorded in runs without any intervention. What is not edited is computed again from
    what was edited above it. Two edits may not assign one channel of a layer at one place.

    Args:
        edits: At least one.

    Raises:
        InputError: If there is none.
    """

    edits: Sequence[Edit]

    def __post_init__(self) -> None:
        """Check that there are edits, and keep them as a tuple."""
        edits = listed("edits", self.edits)
        if not edits:
            raise InputError("an intervention needs at least one edit", field="edits")
        for edit in edits:
            require("edit", edit, (Edit,), "Edit(...)")
        object.__setattr__(self, "edits", edits)

    def __str__(self) -> str:
        """Tell it in a few words."""
        return "; ".join(map(str, self.edits))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers' names as the edits give them, each once."""
        return tuple(dict.fromkeys(edit.layer for edit in self.edits))

    @property
    def takes_original2(self) -> bool:
        """Whether an edit takes values from original 2, and not from a donor of its own."""
        actions = [edit.action for edit in self.edits]
        return any(
            isinstance(action, Swap | Blend) and isinstance(action.donor, Original2)
            for action in actions
        )

    def fitted(self, model: Model) -> "Intervention":
        """Give masks and donors' images the size that a model needs.

        Args:
            model: Which generator.

        Returns:
            The same intervention with masks resampled to their layers' sizes (a place is inside
            where more than half of its area is), and images cut to the centre and resized to the
            generator's.

        Raises:
            InputError: If the model lacks a layer, or a mask does not fit or has nothing inside.
        """
        require("model", model, (Model,), "a Model, as client.model(...) gives it")
        edits = [fitted_edit(edit, model, at) for at, edit in enumerate(self.edits)]
        return replace(self, edits=edits)

    def at_strength(self, strength: float) -> "Intervention":
        """Do as much of it: with 0 nothing, with 1 all, between them and beyond in proportion.

        Swaps become blends with this weight, weights of blends and values to add are multiplied by
        it, and factors lie as far from 1.

        Args:
            strength: Any finite number.

        Raises:
            InputError: If an edit assigns a constant, and the strength is not 1.
        """
        number = finite_number("strength", strength)
        edits = [replace(edit, action=at_strength(edit.action, number)) for edit in self.edits]
        return replace(self, edits=edits)

    def spelled_out(self) -> "Intervention":
        """Name the channels of modules one by one, which is easier to read and to change."""
        edits = [
            edit
            if edit.module is None
            else replace(edit, channels=edit.module.channels, module=None)
            for edit in self.edits
        ]
        return replace(self, edits=edits)

    def to_json(self) -> str:
        """Write it down as JSON that holds everything: `graftscope.v1.Intervention`'s."""
        return to_json(self.edits)

    @classmethod
    def from_json(cls, text: str) -> "Intervention":
        """Read it from `to_json`'s text.

        Raises:
            InputError: If the text is not an intervention's.
        """
        return cls(read_json(checked_text("text", text)))

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file.

        Raises:
            InputError: If its name does not end in ``.json``.
            OutputError: If the file cannot be written.
        """
        write_bytes(file_name(path, ".json"), self.to_json().encode())

    @classmethod
    def load(cls, path: str | Path) -> "Intervention":
        """Read a file of `save`, or one that was written by hand.

        Where the contract has an array, such a file may name another one, from its own folder on:
        ``"FILE.npy"``, ``"FILE.npz"``, ``"FILE.npz:NAME"``; a picture for a donor's image; a
        picture for a mask: what is bright and opaque is inside.

        Args:
            path: The file.

        Returns:
            The intervention; `fitted` gives masks and images of pictures the model's sizes.

        Raises:
            NotFoundError: If the file, or one that it names, is not there.
            InputError: If one of them is not what is needed.
        """
        return cls(read_file(file_name(path)))
