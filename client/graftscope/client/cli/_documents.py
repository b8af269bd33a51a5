"""What `--json` prints: a result's fields by their names; what only files hold is for `--out`."""

from dataclasses import asdict, fields, is_dataclass
from typing import Any, cast

from graftscope.client.arrays import axes_of
from graftscope.client.finding import Contrast, FoundChannels
from graftscope.client.interventions import Intervention
from graftscope.client.models import Model
from graftscope.client.values import AnalysisResult, Execution, LayersResult, Stopping


def document_of(result: AnalysisResult) -> dict[str, object]:
    """Make the document of an analysis: its fields, and what its class says beside.

    An array that only files hold is left out; one that may be missing says whether it is there.
    """
    if isinstance(result, LayersResult):
        return {"layers": [document_of(each) for each in result.layers.values()]}
    document: dict[str, object] = {}
    axes = axes_of(type(result))
    for name in (each.name for each in fields(result)):
        value = getattr(result, name)
        if name in axes and axes[name].in_files:
            if axes[name].optional:
                document[name] = value is not None
        elif isinstance(value, Execution):
            document |= {"model_digest": value.model_digest, **how(value)}
        else:
            document[name] = _said(value)
    return document | {name: getattr(result, name) for name in result.BESIDE}


def _said(value: object) -> object:
    """A field's value as documents say it: values by their fields, rules and edits in words."""
    match value:
        case Stopping():
            return {**vars(value), "until": str(value.until)}
        case [Intervention(), *_]:
            return [str(each) for each in value]
        case [first, *_] if is_dataclass(first):
            return [asdict(cast(Any, each)) for each in value]
        case _:
            return vars(value) if is_dataclass(value) else value


def head(model: Model, execution: Execution) -> dict[str, object]:
    """What every verb's document of images begins with."""
    return {
        "model": model.name,
        "model_digest": execution.model_digest,
        **how(execution),
    }


def how(execution: Execution) -> dict[str, object]:
    """What every document of computed numbers says of their arithmetic."""
    deviation = execution.deviation
    return {
        "precision": execution.precision,
        "provider": execution.provider,
        "rewrites": execution.rewrites,
        "deviation": None if deviation is None else vars(deviation),
    }


def found_document(found: FoundChannels, modules: Contrast | None) -> dict[str, object]:
    """Make the document of channels that act inside a region, and of modules where there are."""
    return {
        "source": _said(found.source),
        "channels": found.channels,
        "ranked": found.ranked,
        **_contrast(found.contrast),
        "modules": None if modules is None else _contrast(modules),
    }


def _contrast(compared: Contrast) -> dict[str, object]:
    return {
        "scores": compared.score,
        "inside": compared.inside,
        "outside": compared.outside,
        "certain": compared.certain,
        "inside_stderr": compared.inside_stderr,
        "outside_stderr": compared.outside_stderr,
        "spill": compared.spill,
        "spill_stderr": compared.spill_stderr,
    }
