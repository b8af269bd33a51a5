"""Interventions as values: what is assigned where (Definitions 2 and 5).

Letters: C channels of the layer, N tokens, (h, w) its map. It must not know graphs, sessions or
how an intervention is run.
"""

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine._generator import Latents
from graftscope.v1 import bundle_pb2

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True)
class Original2:
    """The donor is original 2 of the pair."""


@dataclass(frozen=True, eq=False)
class StoredLatents:
    """The donor is one sample, the same for every pair.

    Attributes:
        latents: (1, ...) for every input.
    """

    latents: Latents


Donor: TypeAlias = Original2 | StoredLatents


@dataclass(frozen=True)
class Swap:
    """A channel takes the donor's value."""

    donor: Donor = Original2()


@dataclass(frozen=True)
class PriorMean:
    """A channel's mean over the prior."""


@dataclass(frozen=True, eq=False)
class Constant:
    """A channel takes a value: a number, its mean over the prior, or an array.

    Attributes:
        value: an array is (C, h, w), (N, C) or (C,), one sample's activation or what broadcasts.
    """

    value: float | PriorMean | NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """A channel is multiplied."""

    factor: float


@dataclass(frozen=True, eq=False)
class Add:
    """Something is added to a channel: a number, or an array as a constant's."""

    value: float | NDArray[np.float32]


@dataclass(frozen=True)
class Blend:
    """A channel becomes weight times the donor's value plus (1 - weight) times its own."""

    weight: float
    donor: Donor = Original2()


Action: TypeAlias = Swap | Constant | Scale | Add | Blend


@dataclass(frozen=True, eq=False)
class Edit:
    """What is assigned at one layer.

    Attributes:
        layer: where.
        channels: the set E; none leaves everything as it is.
        action: what is assigned.
        mask: (h, w), true where it is assigned; None for everywhere. Tokens are (N, 1).
    """

    layer: bundle_pb2.Layer
    channels: NDArray[np.int64]
    action: Action = Swap()
    mask: NDArray[np.bool_] | None = None


Intervention: TypeAlias = tuple[Edit, ...]
"""Edits of which no two assign one channel at one place."""


def plain_swap(intervention: Intervention) -> Edit | None:
    """The only edit, if it is an unmasked swap from original 2; else None."""
    if len(intervention) != 1:
        return None
    (edit,) = intervention
    return edit if edit.mask is None and edit.action == Swap(Original2()) else None


def places(edit: Edit) -> NDArray[np.bool_]:
    """Where an edit assigns: booleans that broadcast against (B, C, h, w), (B, C) or (B, N, C)."""
    chosen = arranged(edit.layer, np.isin(np.arange(edit.layer.channels), edit.channels))
    if edit.mask is None:
        return chosen
    # (1, 1, C) and (N, 1), or (1, C, 1, 1) and (h, w): a token's place is where it stands.
    return chosen & edit.mask


def arranged(layer: bundle_pb2.Layer, array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """An array of one sample, or of one value a channel, so that it broadcasts with a batch."""
    if array.ndim != 1:
        return array[np.newaxis]
    if _is_tokens(layer):
        return array[np.newaxis, np.newaxis]  # (1, 1, C)
    spatial = (1, 1) if layer.kind == bundle_pb2.LAYER_KIND_MAP else ()
    return array.reshape(1, len(array), *spatial)


def _is_tokens(layer: bundle_pb2.Layer) -> bool:
    return layer.kind == bundle_pb2.LAYER_KIND_TOKENS
