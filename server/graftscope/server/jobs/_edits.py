"""Interventions as plain values whose arrays are named by their checksums.

It must not know protobuf, models or what computes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from graftscope.server.jobs._array_ref import ArrayRef


@dataclass(frozen=True)
class DonorSpec:
    """Whose values are taken.

    Attributes:
        kind: original2, latents or image.
        arrays: (1, ...) by the input's name, or `image`, (1, H, W, c).
    """

    kind: str
    arrays: Mapping[str, ArrayRef]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict` after a trip through JSON."""
        arrays = {name: ArrayRef.from_json(ref) for name, ref in value["arrays"].items()}
        return cls(value["kind"], arrays)


ORIGINAL2 = DonorSpec("original2", {})


@dataclass(frozen=True)
class EditSpec:
    """What is assigned at one layer.

    Attributes:
        layer: its name.
        channels: the set E, ascending.
        action: swap, constant, prior_mean, scale, add or blend.
        number: a constant's or a summand's value, a factor or a weight, where there is one.
        array: a constant's or a summand's values, FP32, where there are any.
        donor: of a swap or a blend.
        mask: BOOL (h, w); None for everywhere.
    """

    layer: str
    channels: tuple[int, ...]
    action: str = "swap"
    number: float | None = None
    array: ArrayRef | None = None
    donor: DonorSpec | None = None
    mask: ArrayRef | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is a swap from original 2, everywhere."""
        return (self.action, self.donor, self.mask) == ("swap", ORIGINAL2, None)

    @property
    def arrays(self) -> tuple[ArrayRef, ...]:
        """Everything stored that it needs."""
        donated = () if self.donor is None else self.donor.arrays.values()
        return tuple(ref for ref in (self.array, self.mask, *donated) if ref is not None)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict` after a trip through JSON."""
        array, mask, donor = value["array"], value["mask"], value["donor"]
        return cls(
            layer=value["layer"],
            channels=tuple(value["channels"]),
            action=value["action"],
            number=value["number"],
            array=None if array is None else ArrayRef.from_json(array),
            donor=None if donor is None else DonorSpec.from_json(donor),
            mask=None if mask is None else ArrayRef.from_json(mask),
        )


InterventionSpec: TypeAlias = tuple[EditSpec, ...]
"""Edits of which no two assign one channel at one place."""
