"""Stopping rules: read from text, checked, and what came of one in words."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from graftscope.client import _checks as check
from graftscope.client._layers import LayersResult
from graftscope.client._results import FloatArray, InfluenceResult, Stopping
from graftscope.client._tasks import Method, RelativeError, StableLabels, Until
from graftscope.client.errors import InputError

_FORMS = "se=0.02 for a relative standard error, or stable, such as stable,k=3,method=nmf"

_SETTINGS: Mapping[str, Callable[[str], object]] = {
    "k": int,
    "method": str,
    "seed": int,
    "window": int,
    "percentile": float,
}


def checked_until(given: Until | str | None) -> Until | None:
    """Read a rule, if it is text, and check it.

    Args:
        given: A rule; or ``se=0.02``, ``stable``, or ``stable,k=3,method=nmf,seed=0,window=3,
            percentile=75`` with any of these.

    Raises:
        InputError: If the text is no rule, or a value is not allowed.
    """
    rule = _parsed(given) if isinstance(given, str) else given
    match rule:
        case RelativeError():
            if not 0 < check.finite_number("until", rule.value) < 1:
                raise InputError(
                    f"until: a relative standard error of {rule.value:g} is not allowed: it must"
                    " lie above 0 and below 1",
                    field="until",
                )
        case StableLabels():
            _check_labels(rule)
        case None:
            pass
        case _:
            raise InputError(f"until {given!r} is no stopping rule: say {_FORMS}", field="until")
    return rule


def _check_labels(rule: StableLabels) -> None:
    check.whole_number("until: k", rule.k, low=2)
    check.whole_number("until: seed", rule.seed)
    if rule.method not in tuple(Method):
        raise InputError(
            f"until: method {rule.method!r} is unknown; there are: {', '.join(Method)}",
            field="until",
        )
    if check.whole_number("until: window", rule.window, low=1) % 2 == 0:
        raise InputError(
            f"until: window {rule.window} is not allowed: it must be odd", field="until"
        )
    if not 0 < check.finite_number("until: percentile", rule.percentile) < 100:
        raise InputError(
            f"until: percentile {rule.percentile:g} is not allowed: it must lie above 0 and below"
            " 100",
            field="until",
        )


def _parsed(text: str) -> Until:
    first, *rest = [part.strip() for part in text.split(",")]
    name, _, value = first.partition("=")
    try:
        if name == "se" and not rest:
            return RelativeError(float(value))
        if first == "stable":
            return StableLabels(**dict(_setting(part) for part in rest))  # type: ignore[arg-type]
    except ValueError:
        pass
    raise InputError(f"until {text!r} is no stopping rule: say {_FORMS}", field="until")


def _setting(text: str) -> tuple[str, object]:
    """Read ``k=3``.

    Raises:
        ValueError: If there is no such setting, or its value is not of its kind.
    """
    name, _, value = text.partition("=")
    if name not in _SETTINGS:
        raise ValueError(name)
    return name, _SETTINGS[name](value)


def told_stop(result: InfluenceResult | LayersResult) -> str:
    """Say when and why a job stopped, or that its bound came first; empty without a rule."""
    parts = list(result.layers.values()) if isinstance(result, LayersResult) else [result]
    stopping, pairs = parts[0].stopping, parts[0].pairs
    if stopping is None:
        return ""
    if stopping.met:
        told = f"stopped after {pairs:,} of at most {stopping.max_pairs:,} pairs: "
    else:
        told = f"the bound of {stopping.max_pairs:,} pairs came first: "
    individual = np.concatenate([part.individual for part in parts])
    error = _told_error(individual, stopping.relative_standard_error)
    if isinstance(stopping.until, RelativeError):
        return f"{told}{error}, {stopping.until.value:g} was asked for"
    return f"{told}{_told_labels(stopping, stopping.until)}; {error}"


def _told_labels(stopping: Stopping, rule: StableLabels) -> str:
    labels = f"the labels of {rule.k} modules ({rule.method})"
    if stopping.met:
        return f"{labels} stayed the same over the last half of them"
    if math.isnan(stopping.label_agreement):
        return f"too few to tell whether {labels} stay the same"
    share = f"{100 * stopping.label_agreement:.0f}%"
    return f"{share} of {labels} stayed the same over the last half of them"


def _told_error(individual: FloatArray, error: float) -> str:
    flat = int(np.count_nonzero(individual == 0))
    if flat == len(individual):
        return "no map has any influence, so there is no relative standard error"
    left_out = f" ({flat} without influence left out)" if flat else ""
    return f"the largest relative standard error is {error:.4g}{left_out}"
