"""Models: from the contract's messages to the client's values."""

from typing import cast

from google.protobuf import json_format

from graftscope.client.errors import ReplyError
from graftscope.client.models import ImageFormat, Input, Json, Layer, Model, TorchHook
from graftscope.client.wire._operations import made
from graftscope.v1 import bundle_pb2, model_service_pb2


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
    return made(message, Input, distribution=distribution, drawn=_drawn(message))


def _drawn(message: bundle_pb2.Input) -> str:
    """The distribution in words; one that this client does not know by its name alone."""
    match word := message.WhichOneof("distribution"):
        case "uniform":
            return f"uniform [{message.uniform.low:g}, {message.uniform.high:g})"
        case "classes":
            return f"classes {message.classes.count}"
        case "truncated_normal":
            return f"truncated {message.truncated_normal.threshold:g}"
        case "fixed":
            return "constant"
        case "stored":
            return f"stored {message.stored.count:,} rows"
        case _:
            return word or ""


def _hook(layer: str, provenance: bundle_pb2.Provenance) -> TorchHook | None:
    # Asking a map of messages for a key that it lacks would add it.
    known = layer in provenance.torch_hooks
    return made(provenance.torch_hooks[layer], TorchHook) if known else None
