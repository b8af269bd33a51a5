"""What the page draws itself: bars of influence and squares of channels, as numbers for its style.

It must not know HTML.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures import module_color
from graftscope.client.report._data import LayerSection
from graftscope.client.report._wording import with_error

LABELLED = 72
"""Up to so many channels each bar has its channel's number below it."""

_TICKS = 5


@dataclass(frozen=True)
class Bar:
    """One channel's bar; lengths are shares of the plot's height, 0 to 1.

    Attributes:
        channel: Its number.
        color: Of its module.
        height: Its influence.
        error: Half the length of its error bar, as a share of ``height``; 0 draws none.
        words: The channel, its influence and module, for whoever points at it.
    """

    channel: int
    color: str
    height: float
    error: float
    words: str


@dataclass(frozen=True)
class Bars:
    """The influence of every channel, strongest first.

    Attributes:
        bars: One a channel.
        ticks: (height, words) of lines across, as shares of the plot's height.
        labelled: Whether there is room for channels' numbers.
    """

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    labelled: bool


def influence_bars(section: LayerSection, range_width: float) -> Bars:
    """Make the bars of a layer's individual influence, in per cent of the image range."""
    order = np.argsort(-section.individual, kind="stable")
    share = section.individual / range_width
    error = np.nan_to_num(section.individual_stderr / range_width)
    steps = tick_heights(100 * float((share + error).max()))
    top = steps[-1] / 100
    bars = tuple(
        Bar(
            channel=int(section.channel_indices[i]),
            color=module_color(int(section.labels[0, i])),
            height=float(share[i] / top),
            error=float(error[i] / share[i]) if share[i] > 0 else 0.0,
            words=(
                f"channel {section.channel_indices[i]}: "
                f"{with_error(float(share[i]), float(section.individual_stderr[i] / range_width))}"
            ),
        )
        for i in order
    )
    ticks = tuple((step / steps[-1], f"{step:g}") for step in steps)
    return Bars(bars, ticks, len(bars) <= LABELLED)


def tick_heights(highest: float) -> list[float]:
    """Round numbers from 0 to the first that is not below ``highest``, about five of them."""
    if not highest > 0:
        return [0.0, 1.0]
    raw = highest / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * each for each in (1.0, 2.0, 2.5, 5.0, 10.0) if power * each >= raw)
    return [round(step * i, 10) for i in range(math.ceil(highest / step - 1e-9) + 1)]


@dataclass(frozen=True)
class Squares:
    """One square a channel, in rows: those of a module, and the rest, as paths of SVG.

    Attributes:
        side: Squares a row.
        chosen: Those of the module.
        rest: The others.
    """

    side: int
    chosen: str
    rest: str


def squares(chosen: NDArray[np.bool_]) -> Squares:
    """Lay out (C,) channels in a square, row by row."""
    side = math.ceil(math.sqrt(len(chosen)))
    paths = {True: "", False: ""}
    for i, taken in enumerate(chosen.tolist()):
        row, column = divmod(i, side)
        paths[taken] += f"M{column + 0.08:g} {row + 0.08:g}h.84v.84h-.84z"
    return Squares(side, paths[True], paths[False])
