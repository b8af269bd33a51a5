"""Interventions: which channels of which layers are assigned, with what, and where.

Axis letters: C channels, H, W places of the activation map.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client import _checks as check
from graftscope.client._actions import Action, Add, Blend, Constant, Scale, Swap, described
from graftscope.client._by_value import ByValue, frozen
from graftscope.client.errors import InputError, UsageError

if TYPE_CHECKING:
    from graftscope.client._models import Model


@dataclass(frozen=True, eq=False, repr=False)
class ModuleOf(ByValue):
    """A module of a layer: the channels that carry its number.

    Args:
        labels: (C,) module of every channel of the layer, -1 for none.
        index: Which module, counted from 0.

    Raises:
        InputError: If labels are not like that, or do not go up to the index.
    """

    labels: NDArray[np.integer]
    index: int

    def __post_init__(self) -> None:
        """Check labels and index, and keep a copy of the labels as int64."""
        labels = check.module_labels(self.labels)
        index = check.whole_number("module", self.index, high=int(labels.max()))
        object.__setattr__(self, "labels", frozen(labels, np.int64))
        object.__setattr__(self, "index", index)

    @property
    def channels(self) -> tuple[int, ...]:
        """The module's channels."""
        return tuple(np.flatnonzero(self.labels == self.index).tolist())


@dataclass(frozen=True)
class Rectangle:
    """A part of the activation map, in its own pixels; of tokens where `width` is 1.

    Args:
        top: First row, counted from 0.
        left: First column, counted from 0.
        height: Rows, at least 1.
        width: Columns, at least 1.

    Raises:
        InputError: If a number is not allowed.
    """

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        """Check the numbers; whether they fit the layer is for the server to say."""
        for name, low in (("top", 0), ("left", 0), ("height", 1), ("width", 1)):
            number = check.whole_number(f"rectangle's {name}", getattr(self, name), low=low)
            object.__setattr__(self, name, number)


Mask: TypeAlias = Rectangle | NDArray[np.bool_]
"""Where on the activation map: a rectangle, or (H, W) booleans, true inside."""


@dataclass(frozen=True, eq=False, repr=False)
class Edit(ByValue):
    """One assignment: these channels of this layer, this action, there.

    Args:
        layer: A layer's name, or a level's.
        channels: E, the channels that are assigned, counted from 0; none at all gives original 1.
            Either these,
        module: or a module of the layer.
        action: What they are assigned.
        mask: Where on the activation map; None for everywhere. Booleans must have the layer's own
            size when they are sent, which `Intervention.fitted` sees to.

    Raises:
        UsageError: If it does not say which channels, in one of the two ways.
        InputError: If something is not like that.
    """

    layer: str
    channels: Sequence[int] | None = None
    module: ModuleOf | None = None
    action: Action = Swap()
    mask: Mask | None = None

    def __post_init__(self) -> None:
        """Check all of it, and keep copies."""
        if not isinstance(self.layer, str) or not self.layer:
            raise InputError(f"layer {self.layer!r} is not a name", field="layer")
        if (self.channels is None) == (self.module is None):
            raise UsageError(
                f"say which channels of layer {self.layer!r}: either channels=[...], or"
                " module=ModuleOf(labels, index)"
            )
        if self.channels is not None:
            indices = check.channel_indices(self.channels, may_be_empty=True)
            object.__setattr__(self, "channels", indices)
        _require("module", self.module, (ModuleOf, type(None)), "ModuleOf(labels, index)")
        _require(
            "action",
            self.action,
            (Swap, Constant, Scale, Add, Blend),
            "Swap(...), Constant(...), Scale(...), Add(...), Blend(...)",
        )
        if self.mask is not None and not isinstance(self.mask, Rectangle):
            object.__setattr__(self, "mask", _places(self.mask))

    def __str__(self) -> str:
        """Tell it in a few words."""
        where = "" if self.mask is None else ", inside a mask"
        return f"{self._target()} of {self.layer}: {described(self.action)}{where}"

    def _target(self) -> str:
        if self.module is not None:
            return f"module {self.module.index}"
        channels = tuple(self.channels or ())
        return f"channel {channels[0]}" if len(channels) == 1 else f"{len(channels)} channels"


@dataclass(frozen=True, eq=False, repr=False)
class Intervention(ByValue):
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
        edits = tuple(self.edits)
        if not edits:
            raise InputError("an intervention needs at least one edit", field="edits")
        for edit in edits:
            _require("edit", edit, (Edit,), "Edit(...)")
        object.__setattr__(self, "edits", edits)

    def __str__(self) -> str:
        """Tell it in a few words."""
        return "; ".join(map(str, self.edits))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers' names as the edits give them, each once."""
        return tuple(dict.fromkeys(edit.layer for edit in self.edits))

    def fitted(self, model: "Model") -> "Intervention":
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
        from graftscope.client._fitting import fitted_edit

        edits = [fitted_edit(edit, model, at) for at, edit in enumerate(self.edits)]
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
        from graftscope.client._intervention_files import to_json

        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> "Intervention":
        """Read it from `to_json`'s text.

        Raises:
            InputError: If the text is not an intervention's.
        """
        from graftscope.client._intervention_files import from_json

        return from_json(text)

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file.

        Raises:
            OutputError: If the file cannot be written.
        """
        from graftscope.client._intervention_files import save

        save(self, path)

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
        from graftscope.client._intervention_files import load

        return load(path)


def _require(name: str, value: object, kinds: tuple[type, ...], allowed: str) -> None:
    if not isinstance(value, kinds):
        raise InputError(f"{name} {value!r} is of no known kind; allowed: {allowed}", field=name)


def _places(mask: object) -> NDArray[np.generic]:
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0 or array.dtype != np.bool_:
        raise InputError(
            f"mask of shape {array.shape} and type {array.dtype}: it must be a Rectangle, or (H, W)"
            " booleans",
            field="mask",
        )
    return frozen(array, np.bool_)
