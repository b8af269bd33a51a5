"""Modules as a list of objects, which know their channels and the client they came from.

Axis letters: C channels, K modules.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self, cast, overload

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import Source, whole_number
from graftscope.client.values._confidence import Labelled
from graftscope.client.values._contents import FloatArray, IntArray
from graftscope.client.values._from_client import (
    Code_co,
    FromClient,
    Hybrids_co,
    Strips_co,
)
from graftscope.client.values._module import Module
from graftscope.client.values._of_maps import OfMaps


class ModuleList(Labelled, FromClient[Hybrids_co, Strips_co, Code_co]):
    """A base for modules that were found: what of `ModulesResult` makes objects of them."""

    source: Source | None
    channels: IntArray | None
    individual: FloatArray | None
    individual_stderr: FloatArray | None
    range_width: float

    def of_maps(self, of: OfMaps) -> Self:
        """Add what is known of the maps."""
        return replace(cast(Any, self), **vars(of))  # type: ignore[no-any-return]

    def __len__(self) -> int:
        """How many modules there are, K."""
        return self.k

    def __iter__(self) -> Iterator[Module[Hybrids_co, Strips_co, Code_co]]:
        """Give one module after another."""
        return map(self._module, range(self.k))

    @overload
    def __getitem__(self, index: int) -> Module[Hybrids_co, Strips_co, Code_co]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Module[Hybrids_co, Strips_co, Code_co]]: ...
    def __getitem__(
        self, index: int | slice
    ) -> Module[Hybrids_co, Strips_co, Code_co] | list[Module[Hybrids_co, Strips_co, Code_co]]:
        """Give a module, counted from 0, or from -1 backwards; or several, as of a list.

        Raises:
            InputError: If there is none of this number.
        """
        if isinstance(index, slice):
            return list(self)[index]
        number = whole_number("module", index, low=-self.k, high=self.k - 1)
        return self._module(number % self.k)

    def members(self, module: int) -> tuple[int, ...]:
        """The channels of one module, ascending; where these are not known, their positions."""
        return self._module(whole_number("module", module, high=self.k - 1)).channels

    def _module(self, index: int) -> Module[Hybrids_co, Strips_co, Code_co]:
        at = np.flatnonzero(self.labels == index)
        at = at[np.argsort(self.channel_numbers[at], kind="stable")]
        found: Module[Hybrids_co, Strips_co, Code_co] = Module(
            index,
            tuple(self.channel_numbers[at].tolist()),
            self.templates[index],
            self.confidence[at],
            _mean_of(self.individual, at),
            _mean_of(self.individual_stderr, at),
            self.range_width,
            self.source,
            self.labels if self.channels is None else None,
        )
        found._hold(self._held)
        return found

    @property
    def channel_numbers(self) -> IntArray:
        """(C,) the channels' numbers; where these are not known, positions."""
        return super().channel_numbers if self.channels is None else self.channels


def _mean_of(values: FloatArray | None, at: NDArray[np.intp]) -> float:
    """The mean of some channels' values; NaN where there are none."""
    return math.nan if values is None or not len(at) else float(values[at].mean())
