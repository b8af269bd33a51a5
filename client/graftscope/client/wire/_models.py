"""Models: from the contract's messages to the client's values."""

from typing import cast

from google.protobuf import json_format

from graftscope.client._models import ImageFormat, Input, Json, Layer, Model, TorchHook
from graftscope.client.errors import ReplyError
from graftscope.client.wire._enums import LAYER_KINDS, word_of
from graftscope.v1 import bundle_pb2, model_service_pb2


def model_from_proto(message: model_service_pb2.Model) -> Model:
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
        inputs=tuple(_input_from_proto(each) for each in bundle.inputs),
        image=_image_from_proto(bundle.image),
        layers=tuple(_layer_from_proto(each, bundle.provenance) for each in bundle.layers),
        has_encoder=bundle.HasField("encoder"),
        manifest=manifest_from_proto(bundle),
    )


def manifest_from_proto(bundle: bundle_pb2.Bundle) -> dict[str, Json]:
    """Make a bundle's manifest: its JSON form, with the contract's field names."""
    document = json_format.MessageToDict(
        bundle, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return cast(dict[str, Json], document)


def _input_from_proto(message: bundle_pb2.Input) -> Input:
    return Input(
        name=message.name,
        datatype=message.datatype,
        shape=tuple(message.shape),
        distribution=message.WhichOneof("distribution") or "",
        noise=message.noise,
        drawn=_drawn(message),
    )


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


def _image_from_proto(message: bundle_pb2.Image) -> ImageFormat:
    return ImageFormat(
        channels=message.channels,
        height=message.height,
        width=message.width,
        low=message.low,
        high=message.high,
    )


def _layer_from_proto(message: bundle_pb2.Layer, provenance: bundle_pb2.Provenance) -> Layer:
    return Layer(
        name=message.name,
        level=message.level,
        kind=word_of(LAYER_KINDS, message.kind, f"kind of layer {message.name!r}"),
        channels=message.channels,
        height=message.height,
        width=message.width,
        tensor=message.tensor,
        carried=tuple(message.carried),
        upstream_parameters=message.upstream_parameters,
        downstream_parameters=message.downstream_parameters,
        upstream_mflop=message.upstream_mflop,
        downstream_mflop=message.downstream_mflop,
        torch_hook=_hook_from_proto(message.name, provenance),
    )


def _hook_from_proto(layer: str, provenance: bundle_pb2.Provenance) -> TorchHook | None:
    # Asking a map of messages for a key that it lacks would add it.
    if layer not in provenance.torch_hooks:
        return None
    hook = provenance.torch_hooks[layer]
    return TorchHook(module=hook.module, input=hook.input, call=hook.call)
