"""Interventions as values: what is assigned where (Definitions 2 and 5).

An edit is the same whether its arrays are named by their checksums, as a job specifies them, or are
the arrays themselves, as they are computed with: it is generic in what its arrays are. Letters: C
channels of the layer, N tokens, (h, w) its map. It must not know graphs, sessions or how an
intervention is run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from graftscope.v1 import bundle_pb2

Arrays = TypeVar("Arrays")
_Other = TypeVar("_Other")
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True)
class Donor(Generic[Arrays]):
    """Whose values are taken.

    Attributes:
        kind: original2, latents or image.
        arrays: (1, ...) by the input's name, or `image`, (1, H, W, c).
    """

    kind: str
    arrays: Mapping[str, Arrays]

    @property
    def is_original2(self) -> bool:
        """Whether it is original 2 of the pair, and not one sample for all pairs."""
        return self.kind == "original2"


ORIGINAL2: Donor[Any] = Donor("original2", {})


@dataclass(frozen=True)
class Edit(Generic[Arrays]):
    """What is assigned at one layer.

    Attributes:
        layer: its name.
        channels: the set E, ascending; none leaves everything as it is.
        action: swap, constant, prior_mean, scale, add or blend.
        number: a constant's or a summand's value, a factor or a weight, where there is one.
        array: a constant's or a summand's values, FP32, where there are any: (C, h, w), (N, C) or
            (C,), one sample's activation or what broadcasts.
        donor: of a swap or a blend.
        mask: BOOL (h, w), true where it is assigned; None for everywhere. Tokens are (N, 1).
    """

    layer: str
    channels: tuple[int, ...]
    action: str = "swap"
    number: float | None = None
    array: Arrays | None = None
    donor: Donor[Arrays] | None = None
    mask: Arrays | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is a swap from original 2, everywhere."""
        is_swap = self.action == "swap" and self.donor is not None and self.donor.is_original2
        return is_swap and self.mask is None

    @property
    def replaces(self) -> bool:
        """Whether the assigned value has nothing of what was there."""
        return self.action in ("swap", "constant", "prior_mean")

    @property
    def arrays(self) -> tuple[Arrays, ...]:
        """Everything that it needs."""
        donated = () if self.donor is None else self.donor.arrays.values()
        return tuple(each for each in (self.array, self.mask, *donated) if each is not None)

    def with_arrays(self, get: Callable[[Arrays], _Other]) -> "Edit[_Other]":
        """The same with other arrays in the place of these."""
        donor: Donor[_Other] | None = None
        if self.donor is not None:
            donor = Donor(self.donor.kind, {x: get(y) for x, y in self.donor.arrays.items()})
        array = None if self.array is None else get(self.array)
        mask = None if self.mask is None else get(self.mask)
        return Edit(self.layer, self.channels, self.action, self.number, array, donor, mask)


Intervention: TypeAlias = tuple[Edit[NDArray[Any]], ...]
"""Edits of which no two assign one channel at one place."""


def plain_swap(intervention: Intervention) -> Edit[NDArray[Any]] | None:
    """The only edit, if it is an unmasked swap from original 2; else None."""
    is_plain = len(intervention) == 1 and intervention[0].is_plain
    return intervention[0] if is_plain else None


def places(layer: bundle_pb2.Layer, edit: Edit[NDArray[Any]]) -> NDArray[np.bool_]:
    """Where an edit assigns: booleans that broadcast against (B, C, h, w), (B, C) or (B, N, C)."""
    chosen = arranged(layer, np.isin(np.arange(layer.channels), edit.channels))
    if edit.mask is None:
        return chosen
    # (1, 1, C) and (N, 1), or (1, C, 1, 1) and (h, w): a token's place is where it stands.
    return chosen & edit.mask.astype(np.bool_)


def arranged(layer: bundle_pb2.Layer, array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """An array of one sample, or of one value a channel, so that it broadcasts with a batch."""
    if array.ndim != 1:
        return array[np.newaxis]
    if layer.kind == bundle_pb2.LAYER_KIND_TOKENS:
        return array[np.newaxis, np.newaxis]  # (1, 1, C)
    spatial = (1, 1) if layer.kind == bundle_pb2.LAYER_KIND_MAP else ()
    return array.reshape(1, len(array), *spatial)
