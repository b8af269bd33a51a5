"""Strips: hybrids of several strengths, from original 1 to the hybrid and beyond.

Axis letters: S strengths, B pairs, c colours, H, W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Axes,
    Drawn,
    Flag,
    Gridded,
    Real,
    Saved,
    Several,
    file_name,
    write_bytes,
)
from graftscope.client.values._contents import FloatArray, model_version
from graftscope.client.values._execution import Execution
from graftscope.client.values._hybrids import HybridsTask

PICTURES = (".png", ".gif", ".webp")
"""What a strip is drawn as: side by side, or one after the other."""

Strengths: TypeAlias = Annotated[
    Sequence[float],
    Several(Real(-10, 10)),
    Flag(
        "--strength",
        "S,S,...",
        "Make hybrids of these strengths, -10 to 10, with commas or by repeating the option: 0 "
        "is original 1, 1 the hybrid; between them the channels are blended, outside they are "
        "extrapolated. --out FILE.png shows them side by side, FILE.gif and FILE.webp one "
        "after the other; what leaves the image's range is clipped there, not in FILE.npz. "
        "Default: the hybrid alone.",
    ),
]


@dataclass(frozen=True, eq=False, repr=False)
class StripTask(HybridsTask):
    """Hybrids of several strengths to make.

    Args:
        strengths: How much of the intervention, each from -10 to 10: 0 is original 1 and 1 the
            hybrid, to the bit; between them the channels' values are blended with the donor's,
            outside they are extrapolated.
    """

    strengths: Strengths = (0.0, 0.25, 0.5, 0.75, 1.0)

    def at(self, strength: float) -> HybridsTask:
        """Make the task of one strength.

        Raises:
            InputError: If the intervention assigns constants, which have no strengths.
            UsageError: If the intervention is not said in one way.
        """
        said = {each.name: getattr(self, each.name) for each in fields(HybridsTask)}
        left_out = dict.fromkeys(("channels", "labels", "module", "modules"))
        meant = self.meant().at_strength(strength)
        return HybridsTask(**{**said, **left_out, "layer": "", "intervention": meant})


@dataclass(frozen=True, eq=False, repr=False)
class Strip(Saved, Drawn, Gridded):
    """Hybrids of several strengths, and the originals of every pair.

    Args:
        strengths: (S,) how much of the intervention each has.
        images: (S, B, c, H, W) float32 in the generator's own range: original 1 where the strength
            is 0, the hybrid where it is 1; with `keep_photo` the photograph + (hybrid - original
            1). Nothing is clipped.
        original1: (B, c, H, W) float32; with `keep_photo` the photograph.
        original2: The same shape.
        intervention: What is assigned with strength 1, in words.
        image_range: (low, high) of the generator's images.
        distinct_images: How many different real images were used; 0 where none were.
        execution: What computed them.
        model: The model's name.
        takes_original2: Whether original 2 is a donor: then pictures show it at the end.
    """

    strengths: Annotated[FloatArray, Axes("S")]
    images: Annotated[NDArray[np.float32], Axes("S B c H W")]
    original1: Annotated[NDArray[np.float32], Axes("B c H W")]
    original2: Annotated[NDArray[np.float32], Axes("B c H W")]
    intervention: str
    image_range: tuple[float, ...]
    distinct_images: int
    execution: Execution
    model: str = ""
    takes_original2: bool = True

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        of, strengths = model_version(self.model, self.execution), told_strengths(self.strengths)
        return f"<Strip of {of}: {self.intervention}, strengths {strengths}>"

    @property
    def clipped(self) -> float:
        """Share of the values that leave the image's range: pictures clip them."""
        low, high = self.image_range
        return float(np.mean((self.images < low) | (self.images > high)))

    def draw(self, path: str | Path, *, there_and_back: bool = False) -> None:
        """Draw the strip, a row a pair: side by side, or one strength after the other.

        What leaves the image's range is clipped.

        Args:
            path: The picture, whose name ends in ``.png``, ``.gif`` or ``.webp``; the last two are
                animations that show the strengths in their order, again and again.
            there_and_back: Whether an animation goes back to the first strength the way it came,
                instead of jumping there.

        Raises:
            InputError: If its name ends otherwise.
            OutputError: If it cannot be written.
        """
        # Pillow takes a while to import.
        from graftscope.client.pictures import strip_animation, strip_png

        target = file_name(path, *PICTURES)
        low, high = self.image_range
        named = [f"{strength:g}" for strength in self.strengths]
        if target.suffix == ".png":
            donor = self.original2 if self.takes_original2 else None
            data = strip_png(self.images, named, donor, image_range=(low, high))
        else:
            gif = target.suffix == ".gif"
            data = strip_animation(
                self.images,
                named,
                gif=gif,
                there_and_back=there_and_back,
                image_range=(low, high),
            )
        write_bytes(target, data)


def told_strengths(strengths: NDArray[np.floating]) -> str:
    """List strengths."""
    return ", ".join(f"{strength:g}" for strength in strengths)
