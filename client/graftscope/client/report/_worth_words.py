"""What a layer's modules are worth, in rows that are ready to print. It must not know HTML."""

import math
from dataclasses import dataclass

from graftscope.client.figures import module_color
from graftscope.client.report._wording import count, number, percent
from graftscope.client.report._worth import Known, LayerWorth, ModuleWorth

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class WorthRow:
    """One module's line, ready to print."""

    index: int
    color: str
    distance: str
    against: str
    verdict: str
    spill: str
    interaction: str


@dataclass(frozen=True)
class WorthPage:
    """A layer's table, ready to print.

    Attributes:
        rows: Its modules.
        ends: What distances mean: floor and ceiling.
        mixture: Whether modules of several donors go together.
        pairs: Hybrids behind each row.
        features: The network.
        warning: What to be careful about.
    """

    rows: tuple[WorthRow, ...]
    ends: str
    mixture: str
    pairs: str
    features: str
    warning: str


def worth_page(found: LayerWorth) -> WorthPage:
    """Put the numbers of a layer into words."""
    return WorthPage(
        rows=tuple(map(_row, found.modules)),
        ends=(
            f"Other samples of the generator are at {number(found.floor)}, since even they differ "
            f"by chance; two originals cut in half and pasted are at {number(found.pasted)}."
        ),
        mixture=_mixture(found),
        pairs=count(found.pairs),
        features=found.features,
        warning=found.warning,
    )


def _row(module: ModuleWorth) -> WorthRow:
    return WorthRow(
        index=module.index,
        color=module_color(module.index),
        distance=_told(module.distance),
        against=_told(module.against, sign=True),
        verdict=_verdict(module.against),
        spill=_share(module.spill),
        interaction=_share(module.interaction),
    )


def _verdict(against: Known) -> str:
    if math.isnan(against.value):
        return "not known"
    if not against.is_sure:
        return "as real as a random set"
    return "more real than a random set" if against.value < 0 else "less real than a random set"


def _mixture(found: LayerWorth) -> str:
    several, one = found.mixture, found.one_donor
    if math.isnan(several.value) or math.isnan(one.value):
        return ""
    difference = several.value - one.value
    error = math.hypot(several.stderr, one.stderr)
    sure = Known(difference, error).is_sure
    told = (
        "as real as with one donor"
        if not sure
        else "less real than with one donor"
        if difference > 0
        else "more real than with one donor"
    )
    return (
        f"With another donor for each module, hybrids are {told}: {_told(several)} against "
        f"{_told(one)}."
    )


def _told(known: Known, *, sign: bool = False) -> str:
    if math.isnan(known.value):
        return number(known.value)
    plus = "+" if sign and known.value > 0 else ""
    if not known.stderr > 0:
        return plus + number(known.value)
    digits = max(0, 1 - math.floor(math.log10(known.stderr)))
    return f"{plus}{known.value:.{digits}f} ± {known.stderr:.{digits}f}".replace("-", _MINUS)


def _share(known: Known) -> str:
    if math.isnan(known.value) or not known.stderr > 0:
        return percent(known.value, 1)
    digits = max(0, 1 - math.floor(math.log10(100 * known.stderr)))
    return f"{100 * known.value:.{digits}f} ± {100 * known.stderr:.{digits}f} %"
