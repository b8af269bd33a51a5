"""What spills out of a region, as verbs tell it: in words, in documents and in files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import write_npz
from graftscope.client.cli._output import say
from graftscope.client.finding import Spill, spill
from graftscope.client.values import HybridResult, Strip


def told_spill(found: Spill) -> str:
    """Put in words which share of a change falls outside a region."""
    if np.isnan(found.share):
        return "nothing changed, so nothing falls outside the region"
    error = "" if np.isnan(found.stderr) else f" ± {100 * found.stderr:.1f}"
    return (
        f"{100 * found.share:.1f}{error} % of the change falls outside the region, where"
        f" {100 * found.area:.1f} % of the picture lies"
    )


def spill_facts(found: Spill) -> dict[str, object]:
    """What documents and files say of it."""
    return {
        "spill": found.share,
        "spill_stderr": found.stderr,
        "spill_of_pairs": found.of_pairs,
        "area_outside": found.area,
    }


def several_spills(found: Sequence[Spill]) -> dict[str, object]:
    """The same of several changes outside the same region."""
    return {
        "spill": np.array([each.share for each in found]),
        "spill_stderr": np.array([each.stderr for each in found]),
        "spill_of_pairs": np.array([each.of_pairs for each in found]),
        "area_outside": found[0].area,
    }


@dataclass(frozen=True, eq=False)
class Spilled:
    """The spill of hybrids that were made.

    Args:
        region: (H, W) how far each pixel is inside, 0 to 1.
        spills: That of the hybrids; of a strip one a strength.
        strengths: (S,) of a strip; None of hybrids.
    """

    region: NDArray[np.float64]
    spills: Sequence[Spill]
    strengths: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, made: HybridResult | Strip, region: NDArray[np.float64]) -> "Spilled":
        """Measure what spills out of a region."""
        if isinstance(made, HybridResult):
            return cls(region, [spill(made.original1, made.hybrid, region)])
        spills = [spill(made.original1, images, region) for images in made.images]
        return cls(region, spills, made.strengths)

    def facts(self) -> dict[str, object]:
        """What a document says of it."""
        return (
            spill_facts(self.spills[0]) if self.strengths is None else several_spills(self.spills)
        )

    def tell(self) -> None:
        """Say it, a line each."""
        for at, each in enumerate(self.spills):
            of = "" if self.strengths is None else f"strength {self.strengths[at]:g}: "
            say(f"{of}{told_spill(each)}")

    def save(self, made: HybridResult | Strip, path: Path) -> None:
        """Write hybrids, and the region and what spills out of it as further arrays."""
        facts = {name: np.asarray(value) for name, value in self.facts().items()}
        held = {**made.arrays(), "region": self.region, **facts}
        write_npz(path, held, made.about().to_comment())
