"""Explorations: hybrids of the same originals, of an intervention that changes under one's hand.

Axis letters: B pairs, c colours, H, W pixels.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from graftscope.client.arrays import Checked, Displayed
from graftscope.client.values._encoding import WantedEncoding
from graftscope.client.values._execution import Execution
from graftscope.client.values._pairs import (
    FirstPair,
    FixedInputs,
    Originals,
    PairCount,
    Pairs,
    PairSeed,
    Shared,
)

ShownImages: TypeAlias = NDArray[Any]
"""(B, c, H, W) float32 in the generator's own range; with `eight_bits` (B, H, W, c) uint8; with an
encoding (B,) objects, each a file's bytes."""


@dataclass(frozen=True, eq=False, repr=False)
class ExploreTask(Checked):
    """The originals of an exploration, and how its images come.

    Args:
        model: The model's name.
        pairs: How many pairs of originals, 1 to 16.
        seed: As of `HybridsTask`.
        first: As of `HybridsTask`.
        originals: As of `HybridsTask`.
        share: As of `HybridsTask`.
        fix: As of `HybridsTask`.
        encoding: A format of files, ``png`` or ``webp``; None for arrays.
        eight_bits: Whether arrays are (B, H, W, c) uint8, the generator's range mapped to 0 to 255,
            instead of (B, c, H, W) float32.
    """

    model: str
    pairs: PairCount = 1
    seed: PairSeed = 0
    first: FirstPair = 0
    originals: Originals | None = None
    share: Shared = ()
    fix: FixedInputs = None
    encoding: WantedEncoding = None
    eight_bits: bool = False

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        return {
            "model": self.model,
            "pairs": Pairs.of(self, takes_second=True),
            "encoding": self.encoding,
            "eight_bits": self.eight_bits,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Explored(Displayed):
    """The images of one request of an exploration; see `ShownImages` for their form.

    Args:
        number: Of the request, counted from 1.
        dropped: How many requests were dropped between this one and the one answered before.
        hybrid: Original 1 with what the intervention assigns; None where the originals alone were
            asked for.
        original1: With the first answer for these originals; else None.
        original2: Likewise.
        execution: What computed them; likewise.
        distinct_images: How many different real images the originals are of; 0 for none.
    """

    number: int
    dropped: int
    hybrid: ShownImages | None = None
    original1: ShownImages | None = None
    original2: ShownImages | None = None
    execution: Execution | None = None
    distinct_images: int = 0

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return f"<Explored: request {self.number}, {self.dropped} dropped before it>"
