"""Stopping rules: in values and in words, and what came of one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

from graftscope.client.arrays import UINT32_MAX, Checked, Flag, Real, told, whole_number
from graftscope.client.errors import InputError
from graftscope.client.interventions import require
from graftscope.client.values._grouping import (
    GroupingMethod,
    GroupingSeed,
    Method,
    Percentile,
    Window,
)
from graftscope.client.values._pairs import PAIRS

_FORMS = (
    "labels=0.95 for the probability of every label, or labels=0.95,k=3,method=nmf; se=0.02 for a "
    "relative standard error; either with ,together, so that no map stops by itself; or stable, "
    "such as stable,k=3,method=nmf"
)

_TOGETHER = "together"

_LEAST_MODULES = 2

_SETTINGS: Mapping[str, Callable[[str], object]] = {
    "k": int,
    "method": str,
    "seed": int,
    "window": int,
    "percentile": float,
}


@dataclass(frozen=True)
class _Modules:
    """How many modules labels tell apart."""

    def checked(self, name: str, value: Any) -> int:
        """As `Check`."""
        number = whole_number(name, value, low=-UINT32_MAX)
        if number < _LEAST_MODULES:
            raise InputError(
                f"{name} {number} is not allowed: it must be from {_LEAST_MODULES} on, since with "
                "one module there is nothing to be sure of; or leave out the rule about labels "
                "(--until labels=... or stable)",
                field=name,
            )
        return number


@dataclass(frozen=True)
class RelativeError(Checked):
    """Ends influence maps early: once their individual influence is known well enough.

    Each map stops by itself. Its standard error is then right to a few per cent, though it stopped
    at a small one: nobody looks after every shard, and not after fewer than 64 pairs, or 512
    stratified ones.

    Args:
        value: The largest standard error of an individual influence, as a share of it; above 0 and
            below 1. Influences of zero have none: their maps stop at the first look.
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

    k: Annotated[int, _Modules()] = 3
    method: GroupingMethod = Method.NMF
    seed: GroupingSeed = 0
    window: Window = 3
    percentile: Percentile = 75.0

    def __str__(self) -> str:
        """Say it as the command line does: ``stable,k=3,method=nmf``."""
        return ",".join(["stable", *_settings_of(self, StableLabels())])


@dataclass(frozen=True)
class ConfidentLabels(Checked):
    """Ends influence maps early: once it is sure which module each channel belongs to.

    Each channel stops by itself; the ones between two modules go on.

    Args:
        probability: Of a channel's label with respect to the pairs, as resampling them tells; above
            0.5 and below 1. Maps in no module have no label: they stop at the first look.
        k: Number of modules, at least 2.
        method: How they are found; where it needs products, no map stops by itself.
        seed: Of the method.
        window: Side of the averaging window in pixels, odd.
        percentile: Above which a pixel of a map counts, between 0 and 100, both excluded.
    """

    probability: Annotated[float, Real(0.5, 1, inside=True)] = 0.95
    k: Annotated[int, _Modules()] = 3
    method: GroupingMethod = Method.NMF
    seed: GroupingSeed = 0
    window: Window = 3
    percentile: Percentile = 75.0

    def __str__(self) -> str:
        """Say it as the command line does: ``labels=0.95,k=3,method=nmf``."""
        settings = _settings_of(self, ConfidentLabels())
        return ",".join([f"labels={self.probability:g}", *settings])


@dataclass(frozen=True)
class Together:
    """A rule by which no map stops by itself: all go on until the last is known well enough.

    So it is without this, too, where products are wanted: those need every channel in the same
    pair.

    Args:
        rule: The rule.
    """

    rule: RelativeError | ConfidentLabels

    def __post_init__(self) -> None:
        """Check that maps could stop by themselves."""
        require("rule", self.rule, (RelativeError, ConfidentLabels), "RelativeError(...)")

    def __str__(self) -> str:
        """Say it as the command line does: ``se=0.02,together``."""
        return f"{self.rule},{_TOGETHER}"


Until: TypeAlias = RelativeError | StableLabels | ConfidentLabels | Together
"""A stopping rule."""


@dataclass(frozen=True)
class Rule:
    """Reads a stopping rule, if it is text."""

    def checked(self, name: str, value: Any) -> Until:
        """Give the rule.

        Args:
            name: The field's.
            value: A rule; or ``labels=0.95``, ``stable``, or either with any of
                ``k=3,method=nmf,seed=0,window=3,percentile=75``; or ``se=0.02``. ``labels`` and
                ``se`` also with ``together``.

        Raises:
            InputError: If the text is no rule, or a value is not allowed.
        """
        try:
            rule = _parsed(value) if isinstance(value, str) else value
        except InputError as error:
            raise InputError(f"{name}: {error}", field=name) from error
        if not isinstance(rule, Until):
            raise InputError(f"{name} {told(value)} is no stopping rule: say {_FORMS}", field=name)
        return rule


StoppingRule: TypeAlias = Annotated[
    Until | str | None,
    Rule(),
    Flag(
        "--until",
        "labels=0.95|se=0.02|stable",
        "Stop before --pairs, which is then the maximum. labels=0.95: each channel stops as soon "
        "as it is 95% sure which module it belongs to; those between two modules go on. "
        "labels=0.95,k=4,method=kmeans says which modules. se=0.02: each map stops as soon as the "
        "standard error of its individual influence is at most 2% of it. With ,together none "
        "stops by itself: all go on until the last may, as they always do with products, which "
        "need every channel in the same pair. stable: all stop as soon as modules have "
        "stayed the same over the last half of the pairs. The same pairs are used, however many "
        "workers.",
        PAIRS,
    ),
]


@dataclass(frozen=True)
class Stopping:
    """What came of a stopping rule.

    Args:
        until: The rule.
        met: Whether it held at the end, for every map; if not, the maximum came first.
        max_pairs: The most pairs that were allowed.
        relative_standard_error: The largest of an individual influence, at the end; NaN with one
            pair, and where no map has any influence.
        label_agreement: With `StableLabels` the share of channels whose labels stayed the same over
            the last half of the pairs; NaN where nobody could look so far back, and without it.
        label_probability: With `ConfidentLabels` the smallest probability of a channel's label, at
            the last look; NaN without it.
        settled: How many maps were known well enough at the end.
    """

    until: Until
    met: bool
    max_pairs: int
    relative_standard_error: float
    label_agreement: float
    label_probability: float = math.nan
    settled: int = 0


def bare(until: Until | None) -> RelativeError | StableLabels | ConfidentLabels | None:
    """The rule itself, whether or not maps stop by themselves."""
    return until.rule if isinstance(until, Together) else until


def settings_named(text: str) -> frozenset[str]:
    """Which settings of modules a rule names, said as the command line does."""
    names = (part.partition("=")[0].strip() for part in text.split(","))
    return frozenset(names).intersection(_SETTINGS)


def ruled(rule: RelativeError | StableLabels | ConfidentLabels, together: bool) -> Until:
    """The inverse of `bare`; of labels that stay the same, maps never stop by themselves."""
    return Together(rule) if together and not isinstance(rule, StableLabels) else rule


def _settings_of(
    rule: StableLabels | ConfidentLabels, usual: StableLabels | ConfidentLabels
) -> list[str]:
    """Which modules a rule is of: their number, the method, and what is unusual."""
    names = ("seed", "window", "percentile")
    rest = [name for name in names if getattr(rule, name) != getattr(usual, name)]
    return [f"{name}={getattr(rule, name)}" for name in ("k", "method", *rest)]


def _parsed(text: str) -> Until | None:
    first, *rest = [part.strip() for part in text.split(",")]
    name, _, value = first.partition("=")
    _refuse_repeats(text, rest)
    together = _TOGETHER in rest
    settings = [part for part in rest if part != _TOGETHER]
    try:
        if name == "se" and not settings:
            return ruled(RelativeError(float(value)), together)
        if first == "stable" and not together:
            return StableLabels(**_settings(settings))
        if name == "labels":
            sure = ConfidentLabels() if first == name else ConfidentLabels(float(value))
            return ruled(replace(sure, **_settings(settings)), together)
    except InputError:
        raise
    except ValueError:
        pass
    return None


def _refuse_repeats(text: str, parts: list[str]) -> None:
    names = [part.partition("=")[0].strip() for part in parts]
    for name in names:
        if names.count(name) > 1 and name in (*_SETTINGS, _TOGETHER):
            raise InputError(f"{told(text)} says {name} {names.count(name)} times: say it once")


def _settings(parts: list[str]) -> dict[str, Any]:
    return dict(_setting(part) for part in parts)


def _setting(text: str) -> tuple[str, object]:
    """Read ``k=3``.

    Raises:
        ValueError: If there is no such setting, or its value is not of its kind.
    """
    name, _, value = text.partition("=")
    name = name.strip()
    if name not in _SETTINGS:
        raise ValueError(name)
    return name, _SETTINGS[name](value.strip())
