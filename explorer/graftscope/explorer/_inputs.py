"""A generator's inputs as a page offers them: which control fits each, and from where to where."""

import math
from collections.abc import Mapping

from graftscope.client import Input, Json, Model

_WIDE = 4.0
"""Standard deviations from the mean where a normal number's control ends."""


def described_inputs(model: Model) -> Json:
    """Say what a page can do with each input.

    Returns:
        Of each its name, its distribution in words, whether truncation acts on it, and ``control``:
        ``class`` of so many ``classes``; ``choice`` of ``values``; ``number``, ``whole`` or not,
        from ``low`` to ``high`` where those are known; ``seed``, which draws this input alone; or
        ``none``.
    """
    return [
        {"name": each.name, "drawn": each.drawn, "normal": is_normal(each), **_control(model, each)}
        for each in model.inputs
    ]


def is_normal(value: Input) -> bool:
    """Whether an input is drawn normal, and not as noise inside the graph."""
    return value.distribution in ("normal", "truncated_normal") and not value.noise


def mean_of(model: Model, name: str) -> float:
    """Tell the mean of a normal input, as the bundle states it."""
    return _number(_stated(model, name, "normal"), "mean")


def _control(model: Model, value: Input) -> dict[str, Json]:
    stated = _stated(model, value.name, value.distribution)
    if value.classes:
        return {"control": "class", "classes": value.classes}
    if value.distribution == "choice":
        return {"control": "choice", "values": stated["values"]}
    if math.prod(value.shape) == 1 and not value.noise:
        return {
            "control": "number",
            "whole": not value.datatype.startswith(("FP", "BF")),
            **_range(value, stated),
        }
    return {"control": "none" if value.distribution == "fixed" else "seed"}


def _range(value: Input, stated: Mapping[str, Json]) -> dict[str, Json]:
    """From where to where an input of one number is drawn."""
    match value.distribution:
        case "uniform":
            return {"low": _number(stated, "low"), "high": _number(stated, "high")}
        case "truncated_normal":
            threshold = _number(stated, "threshold")
            return {"low": -threshold, "high": threshold}
        case "normal":
            # A deviation of 0 stands for 1.
            mean, away = _number(stated, "mean"), _WIDE * (_number(stated, "deviation") or 1.0)
            return {"low": mean - away, "high": mean + away}
    return {}


def _stated(model: Model, name: str, distribution: str) -> Mapping[str, Json]:
    """What the manifest says of an input's distribution."""
    inputs = model.manifest["inputs"]
    assert isinstance(inputs, list)
    for each in inputs:
        if isinstance(each, dict) and each["name"] == name:
            stated = each.get(distribution)
            return stated if isinstance(stated, dict) else {}
    return {}


def _number(stated: Mapping[str, Json], name: str) -> float:
    value = stated.get(name, 0.0)
    assert isinstance(value, int | float)
    return float(value)
