"""Claims of the paper, each laid beside what was measured. It must not know how it was measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Verdict(StrEnum):
    """Whether what was measured agrees with the paper."""

    AGREES = "agrees"
    PARTLY = "partly"
    DIFFERS = "differs"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper, in our words, and our number.

    Args:
        section: Where the paper says it.
        claim: What it says.
        measured: What was measured, with its error.
        criterion: What would count as agreement, settled before the numbers were known.
        verdict: Whether it does.
    """

    section: str
    claim: str
    measured: str
    criterion: str
    verdict: Verdict


@dataclass(frozen=True)
class Picture:
    """A figure and its caption.

    Args:
        stem: Of its files' names.
        caption: One paragraph: what is shown, how many pairs, where originals come from.
        draw: Makes the matplotlib figure; drawing is left to the end.
    """

    stem: str
    caption: str
    draw: Callable[[], "Figure"]


@dataclass(frozen=True)
class Reproduction:
    """What one command gives.

    Args:
        name: The command's.
        title: What it is about.
        pictures: Figures, at least one.
        numbers: Everything that the figures show, ready for JSON.
        claims: Claims of the paper that it bears on.
    """

    name: str
    title: str
    pictures: Sequence[Picture]
    numbers: Mapping[str, object]
    claims: Sequence[Claim] = ()


def verdict(*, agrees: bool, partly: bool = False) -> Verdict:
    """Choose between agreement, partial agreement and difference."""
    if agrees:
        return Verdict.AGREES
    return Verdict.PARTLY if partly else Verdict.DIFFERS
