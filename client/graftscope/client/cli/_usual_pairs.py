"""Which pairs maps get where nobody says: what serves those who want modules.

Only verbs that find modules ask for these. Requests of programs, and other verbs, keep their own
defaults, and so does the paper's reproduction.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from graftscope.client.cli._output import note
from graftscope.client.cli._request_options import As, Given
from graftscope.client.values import (
    ConfidentLabels,
    Encoded,
    InfluenceTask,
    ModulesAsked,
    ModulesTask,
    Originals,
    Prior,
    StableLabels,
    Together,
    Until,
    bare,
    ruled,
    settings_named,
)

MOST = 256
"""Pairs of a channel whose label is never sure: up to so many, a layer takes a fifth of the hybrids
that 1,000 pairs take (docs/confidence.md)."""

SURE = 0.95
"""How sure a channel's label is when it gets no more pairs."""

USUAL_PAIRS = As(
    help="How many pairs, at least 1: independent ones, N for every channel. Default: as with "
    f"--stratified --until labels={SURE:g} --pairs {MOST}; 1000 if one of these options is "
    "given, if pairs cannot be stratified (photographs), and for one module or a --method that "
    "needs products.",
)


def usual_pairs(
    drawn: Given[InfluenceTask], grouping: Given[ModulesTask], originals: Originals | None
) -> Given[InfluenceTask]:
    """Ask for stratified pairs until labels are sure, where nothing is said and it can be.

    Args:
        drawn: What was said of the maps.
        grouping: The modules that are to be found in them.
        originals: Where the pairs come from.

    Returns:
        What is asked for; as it was where one of number, stratification and rule is said, where
        originals are no latents that are drawn, and where labels have no probability.
    """
    spread = originals is None or isinstance(originals, Prior | Encoded)
    said = drawn.options("pairs", "stratified", "until")
    if said or not spread or grouping["k"] < 2 or grouping["method"].needs_products:
        return drawn
    until = ConfidentLabels(SURE, **vars(modules_of(grouping)))
    return drawn.unless_said(pairs=MOST, stratified=True, until=until)


def modules_of(grouping: Given[ModulesTask]) -> ModulesAsked:
    """Say which modules are to be found, as watches and rules about labels ask."""
    return ModulesAsked(
        k=grouping["k"],
        method=grouping["method"],
        seed=grouping["seeds"][0],
        window=grouping["window"],
        percentile=grouping["percentile"],
    )


def rule_about(asked: Given[InfluenceTask], modules: Mapping[str, Any]) -> Until | None:
    """Give the rule; what it does not say of modules is as of those that are to be found.

    What it does say holds: a rule may be about fewer modules, whose labels are sure sooner, or
    about those of a faster method. People are told that it is about others.

    Args:
        asked: What was said of the maps.
        modules: What is known of the modules that are to be found, by the names of the rule's
            settings.
    """
    until = cast("Until | None", asked["until"])
    rule = bare(until)
    if not isinstance(rule, StableLabels | ConfidentLabels):
        return until
    named = settings_named(asked.texts.get("until") or "")
    about = replace(rule, **{name: modules[name] for name in modules if name not in named})
    others = [name for name in modules if getattr(about, name) != modules[name]]
    if others:
        looked_at = ", ".join(f"{name}={getattr(about, name)}" for name in others)
        found = ", ".join(f"{name}={modules[name]}" for name in others)
        note(f"--until looks at other modules ({looked_at}) than are found ({found})")
    return ruled(about, isinstance(until, Together))
