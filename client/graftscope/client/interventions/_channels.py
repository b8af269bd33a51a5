"""Channels of a layer, in whichever way they are named: numbers, a mask, modules.

It must not know which model they are of; what the model has to say of them comes later
(`ChannelNumbers.require`).

Axis letters: C channels.
"""

from collections.abc import Iterable
from typing import Protocol, Self, SupportsIndex, TypeAlias, cast, runtime_checkable

import numpy as np

from graftscope.client.arrays import Source, listed, whole_number
from graftscope.client.errors import InputError
from graftscope.client.models import Model


@runtime_checkable
class HasChannels(Protocol):
    """What stands for channels of a layer: a module, or channels that were found."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Their numbers."""


GivenChannels: TypeAlias = Iterable[SupportsIndex | HasChannels] | HasChannels
"""What a `channels` argument takes.

Whole numbers from 0 in any iterable, such as a list, a set, a range or an array; C booleans, true
for the channels that are meant; a module, or several of them, which means all of their channels.
"""


class ChannelNumbers(tuple[int, ...]):
    """Numbers of channels, and what naming them so says of their layer."""

    sizes: tuple[int, ...] = ()
    """How many channels the layer has, where a mask or labels of as many named them."""

    sources: tuple[Source, ...] = ()
    """Which layers they are of, where modules named them that know."""

    @classmethod
    def of(cls, given: GivenChannels) -> Self:
        """Take channels as they are given.

        Those of a set and of modules ascend; others stay in their order.

        Raises:
            InputError: If one is no whole number from 0.
        """
        if isinstance(given, cls):
            return given
        if _stands_for_channels(given):
            return cls._of_all((given,))
        several = listed("channels", given)
        if several and all(isinstance(each, bool | np.bool_) for each in several):
            found = cls(np.flatnonzero(several).tolist())
            found.sizes = (len(several),)
            return found
        if any(map(_stands_for_channels, several)):
            return cls._of_all(several)
        numbers = [whole_number("channel", each) for each in several]
        return cls(sorted(numbers) if isinstance(given, set | frozenset) else numbers)

    @classmethod
    def _of_all(cls, several: Iterable[object]) -> Self:
        """The union of modules and numbers."""
        numbers: set[int] = set()
        facts: list[object] = []
        for each in several:
            if _stands_for_channels(each):
                numbers.update(cast(HasChannels, each).channels)
                facts += [getattr(each, name, None) for name in ("source", "labels")]
            else:
                numbers.add(whole_number("channel", each))
        found = cls(sorted(numbers))
        found.sources = tuple(dict.fromkeys(each for each in facts if isinstance(each, Source)))
        labels = [each for each in facts if isinstance(each, np.ndarray)]
        found.sizes = tuple(dict.fromkeys(len(each) for each in labels))
        return found

    @property
    def asks_for_layer(self) -> bool:
        """Whether they fit only some layers, which `require` knows."""
        return bool(self.sizes or self.sources)

    def require(self, model: Model, name: str) -> None:
        """Check that they can be channels of a layer.

        Args:
            model: Which generator.
            name: The layer's name, or its level's.

        Raises:
            InputError: If a mask has another length, or modules are of another layer, of another
                model or of another version of it.
        """
        layer = model.layer(name)
        for size in self.sizes:
            if size != layer.channels:
                raise InputError(
                    f"channels: a mask or labels of {size} channels do not fit layer"
                    f" {layer.name!r} of {model.name}, which has {layer.channels}",
                    field="channels",
                )
        for source in self.sources:
            same = source.model == model.name and source.model_digest in ("", model.digest)
            if not same or (source.layer and model.layer(source.layer) != layer):
                here = Source(model.name, model.digest, layer.name, "")
                raise InputError(
                    f"channels: the modules are of {source}, and do not fit {here}",
                    field="channels",
                )


def _stands_for_channels(given: object) -> bool:
    """Tell modules from arrays and results, which have channels of other types."""
    return isinstance(getattr(given, "channels", None), tuple)


def channel_numbers(name: str, given: GivenChannels) -> ChannelNumbers:
    """Check channels, for a request's field; there may be none."""
    return ChannelNumbers.of(given)


def some_channels(name: str, given: GivenChannels) -> ChannelNumbers:
    """Check channels, of which there must be one at least."""
    found = ChannelNumbers.of(given)
    if not found:
        raise InputError(f"no {name}: name at least one", field=name)
    return found
