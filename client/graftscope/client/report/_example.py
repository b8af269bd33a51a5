"""The one hybrid that explains hybrids, chosen by a rule that the page states.

It must not know how it is drawn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client.report._data import LayerSection, ReportData

EXAMPLE_RULE = (
    "Nobody picked this example. The layer is the intermediate one where there is one, else the "
    "first; the module is the one that changes most inside its template. The half of the pairs "
    "with the more blurred originals is left out: in the middle of the picture, neighbouring "
    "pixels differ least there, in mean square. Of the rest, the pair that the module changes most "
    "is shown."
)
"""What `choose_example` does, in the page's words."""


@dataclass(frozen=True)
class Example:
    """The hybrid that explains hybrids: which section, module and pair it is."""

    section: LayerSection
    module: int
    pair: int


def choose_example(data: ReportData) -> Example:
    """Choose the hybrid that is easiest to recognise, by `EXAMPLE_RULE`."""
    named = [section for section in data.sections if section.level == "intermediate"]
    section = (named or list(data.sections))[0]
    module = int(np.argmax(np.nan_to_num(section.change[:, 0], nan=-1.0)))
    sharp = np.minimum(sharpness(section.original1), sharpness(section.original2))
    kept = np.argsort(-sharp, kind="stable")[: -(-len(sharp) // 2)]
    difference = np.abs(section.hybrids[module] - section.original1).mean(axis=(1, 2, 3))
    return Example(section, module, int(kept[np.argmax(difference[kept])]))


def sharpness(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean squared difference of neighbouring pixels in the middle of images (B, c, H, W), (B,).

    The middle is that of both axes, a quarter of the area: there subjects are, and what is behind
    them can be sharp without their being so.
    """
    height, width = images.shape[2:]
    middle = images[:, :, height // 4 : height - height // 4, width // 4 : width - width // 4]
    found = np.zeros(len(images))
    for axis in (2, 3):
        if middle.shape[axis] > 1:
            steps = np.diff(middle.astype(np.float64), axis=axis)
            found += (steps**2).mean(axis=(1, 2, 3))
    return found
