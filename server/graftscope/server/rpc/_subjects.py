"""What a request is about, as it says itself: for the log, before anything of it is checked."""

from collections.abc import Mapping

from google.protobuf.message import Message

from graftscope.server.spans import Fact

_OPERATION = "operations/"
_MOST_LAYERS = 8


def subject_of(request: Message) -> Mapping[str, Fact]:
    """The model, the layers, the pairs and the job that a request names; empty where it does not.

    What the server makes of them is told once it is known, and takes their place.
    """
    fields = request.DESCRIPTOR.fields_by_name
    name = getattr(request, "name", "")
    is_job = name.startswith(_OPERATION)
    is_of_model = "Model" in request.DESCRIPTOR.name
    return {
        "model": _first(request, "model", "model_name") or (name if is_of_model else ""),
        "layer": _layer(request),
        "pairs": request.pairs.count if "pairs" in fields else 0,  # type: ignore[attr-defined]
        "job": name.removeprefix(_OPERATION) if is_job else "",
    }


def _first(request: Message, *names: str) -> str:
    return next((found for name in names if (found := getattr(request, name, ""))), "")


def _layer(request: Message) -> str:
    """One layer, or several in their order."""
    if layer := getattr(request, "layer", ""):
        return str(layer)
    layers = list(getattr(request, "layers", ()))[:_MOST_LAYERS]
    intervention = getattr(request, "intervention", None)
    if intervention is not None:
        layers = [edit.layer for edit in intervention.edits[:_MOST_LAYERS]]
    return ", ".join(dict.fromkeys(layers))
