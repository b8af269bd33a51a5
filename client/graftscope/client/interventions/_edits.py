"""Edits: which channels of a layer are assigned, with what, and where.

Axis letters: C channels, H, W places of the activation map.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import ByValue, frozen, module_labels, told, whole_number
from graftscope.client.errors import InputError, UsageError
from graftscope.client.interventions._actions import (
    Action,
    Add,
    Blend,
    Constant,
    Scale,
    Swap,
    described,
)
from graftscope.client.interventions._channels import ChannelNumbers, GivenChannels


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
        labels = module_labels(self.labels)
        index = whole_number("module", self.index, high=int(labels.max()))
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
            number = whole_number(f"rectangle's {name}", getattr(self, name), low=low)
            object.__setattr__(self, name, number)


Mask: TypeAlias = Rectangle | NDArray[np.bool_]
"""Where on the activation map: a rectangle, or (H, W) booleans, true inside."""


@dataclass(frozen=True, eq=False, repr=False)
class Edit(ByValue):
    """One assignment: these channels of this layer, this action, there.

    Args:
        layer: A layer's name, or a level's.
        channels: E, the channels that are assigned, counted from 0; none at all gives original 1.
            Numbers in any iterable, C booleans, or modules, all of whose channels are meant. They
            are kept as a tuple. Either these,
        module: or a module of the layer.
        action: What they are assigned.
        mask: Where on the activation map; None for everywhere. Booleans must have the layer's own
            size when they are sent, which `Intervention.fitted` sees to.

    Raises:
        UsageError: If it does not say which channels, in one of the two ways.
        InputError: If something is not like that.
    """

    layer: str
    channels: GivenChannels | None = None
    module: ModuleOf | None = None
    action: Action = Swap()
    mask: Mask | None = None

    def __post_init__(self) -> None:
        """Check all of it, and keep copies."""
        if not isinstance(self.layer, str) or not self.layer:
            raise InputError(f"layer {told(self.layer)} is not a name", field="layer")
        if (self.channels is None) == (self.module is None):
            raise UsageError(
                f"say which channels of layer {self.layer!r}: either channels=[...], or"
                " module=ModuleOf(labels, index)"
            )
        if self.channels is not None:
            object.__setattr__(self, "channels", _each_once(self.channels))
        require("module", self.module, (ModuleOf, type(None)), "ModuleOf(labels, index)")
        require(
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
        channels = ChannelNumbers.of(self.channels or ())
        return f"channel {channels[0]}" if len(channels) == 1 else f"{len(channels)} channels"


def require(name: str, value: object, kinds: tuple[type, ...], allowed: str) -> None:
    """Refuse a value of another kind."""
    if not isinstance(value, kinds):
        raise InputError(
            f"{name} {told(value)} is of no known kind; allowed: {allowed}", field=name
        )


def _places(mask: object) -> NDArray[np.generic]:
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0 or array.dtype != np.bool_:
        raise InputError(
            f"mask of shape {array.shape} and type {array.dtype}: it must be a Rectangle, or (H, W)"
            " booleans",
            field="mask",
        )
    return frozen(array, np.bool_)


def _each_once(channels: GivenChannels) -> ChannelNumbers:
    """Check channels: integers from 0, none twice; there may be none."""
    indices = ChannelNumbers.of(channels)
    repeated = sorted(index for index, times in Counter(indices).items() if times > 1)
    if repeated:
        raise InputError(f"channel {repeated[0]} is named more than once", field="channels")
    return indices
