"""Models: from the contract's messages to the client's values."""

from collections.abc import Callable, Mapping
from typing import cast

from google.protobuf import json_format

from graftscope import codec
from graftscope.client.errors import ReplyError
from graftscope.client.models import ImageFormat, Input, Json, Layer, Model, TorchHook
from graftscope.client.wire._operations import made
from graftscope.v1 import bundle_pb2, model_service_pb2

_LISTED = 4
"""Numbers of a choice that are named; of more, the first and the last."""


def model_from(message: model_service_pb2.Model) -> Model:
    """Read a model.

    Raises:
        ReplyError: If it has no image.
        VersionError: If it has a layer of a kind that this client does not know.
    """
    bundle = message.bundle
    if not bundle.HasField("image"):
        raise ReplyError(f"the server described model {message.name!r} without its image")
    return Model(
        name=message.name.removeprefix("models/"),
        digest=bundle.digest,
        inputs=tuple(_input(each) for each in bundle.inputs),
        image=made(bundle.image, ImageFormat),
        layers=tuple(
            made(each, Layer, torch_hook=_hook(each.name, bundle.provenance))
            for each in bundle.layers
        ),
        has_encoder=bundle.HasField("encoder"),
        manifest=manifest_from(bundle),
    )


def manifest_from(bundle: bundle_pb2.Bundle) -> dict[str, Json]:
    """Make a bundle's manifest: its JSON form, with the contract's field names."""
    document = json_format.MessageToDict(
        bundle, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return cast(dict[str, Json], document)


def _input(message: bundle_pb2.Input) -> Input:
    distribution = message.WhichOneof("distribution") or ""
    classes = message.classes.count or message.one_hot.count
    return made(message, Input, distribution=distribution, drawn=_drawn(message), classes=classes)


def _drawn(message: bundle_pb2.Input) -> str:
    """The distribution in words; one that this client does not know by its name alone."""
    word = message.WhichOneof("distribution") or ""
    return _WORDS[word](message) if word in _WORDS else word


def _normal(message: bundle_pb2.Input) -> str:
    normal = message.normal
    if normal == bundle_pb2.Normal():
        return "normal"
    return f"normal {normal.mean:g} ± {codec.deviation(normal):g}"


def _choice(message: bundle_pb2.Input) -> str:
    values = [f"{each:g}" for each in message.choice.values]
    if len(values) > _LISTED:
        return f"one of {len(values):,} numbers, {values[0]} to {values[-1]}"
    return f"one of {', '.join(values)}"


def _pictures(message: bundle_pb2.Input) -> str:
    pictures = message.pictures
    return f"{pictures.count:,} images, {pictures.low:g} to {pictures.high:g}"


_WORDS: Mapping[str, Callable[[bundle_pb2.Input], str]] = {
    "normal": _normal,
    "uniform": lambda each: f"uniform [{each.uniform.low:g}, {each.uniform.high:g})",
    "classes": lambda each: f"classes {each.classes.count}",
    "truncated_normal": lambda each: f"truncated {each.truncated_normal.threshold:g}",
    "choice": _choice,
    "one_hot": lambda each: f"one-hot {each.one_hot.count}",
    "fixed": lambda each: "constant",
    "stored": lambda each: f"stored {each.stored.count:,} rows",
    "pictures": _pictures,
}


def _hook(layer: str, provenance: bundle_pb2.Provenance) -> TorchHook | None:
    # Asking a map of messages for a key that it lacks would add it.
    known = layer in provenance.torch_hooks
    return made(provenance.torch_hooks[layer], TorchHook) if known else None
