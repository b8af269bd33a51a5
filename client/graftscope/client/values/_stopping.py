"""Stopping rules: in values and in words, and what came of one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from graftscope.client.arrays import Checked, Flag, Real, Whole, told
from graftscope.client.errors import InputError
from graftscope.client.values._grouping import (
    GroupingMethod,
    GroupingSeed,
    Method,
    Percentile,
    Window,
)
from graftscope.client.values._pairs import PAIRS

_FORMS = "se=0.02 for a relative standard error, or stable, such as stable,k=3,method=nmf"

_SETTINGS: Mapping[str, Callable[[str], object]] = {
    "k": int,
    "method": str,
    "seed": int,
    "window": int,
    "percentile": float,
}


@dataclass(frozen=True)
class RelativeError(Checked):
    """Ends influence maps early: once every individual influence is known well enough.

    Args:
        value: The largest standard error of an individual influence, as a share of it; above 0 and
            below 1. Influences of zero have none and are left out.
    """

    value: Annotated[float, Real(0, 1, inside=True)]

    def __str__(self) -> str:
        """Say it as the command line does: ``se=0.02``."""
        return f"se={self.value:g}"


@dataclass(frozen=True)
class StableLabels(Checked):
    """Ends influence maps early: once modules have stayed the same over the last half of the pairs.

    Args:
        k: Number of modules, at least 2.
        method: How they are found.
        seed: Of the method.
        window: Side of the averaging window in pixels, odd.
        percentile: Above which a pixel of a map counts, between 0 and 100, both excluded.
    """

    k: Annotated[int, Whole(2)] = 3
    method: GroupingMethod = Method.NMF
    seed: GroupingSeed = 0
    window: Window = 3
    percentile: Percentile = 75.0

    def __str__(self) -> str:
        """Say it as the command line does: ``stable,k=3,method=nmf``."""
        usual = StableLabels()
        names = ("seed", "window", "percentile")
        rest = [name for name in names if getattr(self, name) != getattr(usual, name)]
        shown = ["k", "method", *rest]
        return ",".join(["stable", *(f"{name}={getattr(self, name)}" for name in shown)])


Until: TypeAlias = RelativeError | StableLabels
"""A stopping rule."""


@dataclass(frozen=True)
class Rule:
    """Reads a stopping rule, if it is text."""

    def checked(self, name: str, value: Any) -> Until:
        """Give the rule.

        Args:
            name: The field's.
            value: A rule; or ``se=0.02``, ``stable``, or ``stable,k=3,method=nmf,seed=0,window=3,
                percentile=75`` with any of these.

        Raises:
            InputError: If the text is no rule, or a value is not allowed.
        """
        try:
            rule = _parsed(value) if isinstance(value, str) else value
        except InputError as error:
            raise InputError(f"{name}: {error}", field=name) from error
        if not isinstance(rule, RelativeError | StableLabels):
            raise InputError(f"{name} {told(value)} is no stopping rule: say {_FORMS}", field=name)
        return rule


StoppingRule: TypeAlias = Annotated[
    Until | str | None,
    Rule(),
    Flag(
        "--until",
        "se=0.02|stable",
        "Stop before --pairs, which is then the maximum. se=0.02: as soon as the standard "
        "error of every individual influence is at most 2% of it; flat maps are left out. "
        "stable: as soon as modules have stayed the same over the last half of the pairs; "
        "stable,k=4,method=kmeans says which modules. The same pair ends it, however many "
        "workers.",
        PAIRS,
    ),
]


@dataclass(frozen=True)
class Stopping:
    """What came of a stopping rule.

    Args:
        until: The rule.
        met: Whether it held at the end; if not, the maximum came first.
        max_pairs: The most pairs that were allowed.
        relative_standard_error: The largest of an individual influence, at the end; NaN with one
            pair, and where no map has any influence.
        label_agreement: With `StableLabels` the share of channels whose labels stayed the same over
            the last half of the pairs; NaN where nobody could look so far back, and without it.
    """

    until: Until
    met: bool
    max_pairs: int
    relative_standard_error: float
    label_agreement: float


def _parsed(text: str) -> Until | None:
    first, *rest = [part.strip() for part in text.split(",")]
    name, _, value = first.partition("=")
    try:
        if name == "se" and not rest:
            return RelativeError(float(value))
        if first == "stable":
            return StableLabels(**dict(_setting(part) for part in rest))  # type: ignore[arg-type]
    except InputError:
        raise
    except ValueError:
        pass
    return None


def _setting(text: str) -> tuple[str, object]:
    """Read ``k=3``.

    Raises:
        ValueError: If there is no such setting, or its value is not of its kind.
    """
    name, _, value = text.partition("=")
    if name not in _SETTINGS:
        raise ValueError(name)
    return name, _SETTINGS[name](value)
