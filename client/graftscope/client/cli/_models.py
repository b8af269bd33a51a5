"""Verbs about models: models, inspect."""

from pathlib import Path
from typing import Annotated

import typer

from graftscope.client._embedded import import_room, translated
from graftscope.client._models import ImageFormat, Model
from graftscope.client.cli._options import JsonOption, ServerOptions
from graftscope.client.cli._output import say, say_json, table
from graftscope.client.cli._session import opened
from graftscope.client.wire import manifest_from_proto, model_from_proto
from graftscope.v1 import model_service_pb2


def models(server: ServerOptions, json: JsonOption = False) -> None:
    """List the models of a server, with their layers."""
    with opened(server) as client:
        found = client.models()
    if json:
        say_json({"models": [model.manifest for model in found]})
        return
    say(
        table(
            ("model", "image", "layers", "digest"),
            [
                (model.name, _shape(model.image), model.layer_names(), model.digest[:12])
                for model in found
            ],
        )
    )


def inspect(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's folder.")],
    json: JsonOption = False,
) -> None:
    """Verify a bundle and tell what it holds; --json prints its manifest."""
    room = import_room("graftscope.bundle", "server")
    with translated("graftscope."):
        manifest = room.read_bundle(bundle).manifest
    if json:
        say_json(manifest_from_proto(manifest))
        return
    _describe(model_from_proto(model_service_pb2.Model(name=manifest.name, bundle=manifest)))


def _describe(model: Model) -> None:
    say(f"{model.name}, digest {model.digest}")
    inputs = ", ".join(
        f"{each.name} {each.datatype} {list(each.shape)} {each.distribution}"
        for each in model.inputs
    )
    low, high = model.image.range
    say(f"inputs: {inputs}")
    say(f"image: {_shape(model.image)} from {low:g} to {high:g}")
    say(f"encoder: {'yes' if model.has_encoder else 'no'}")
    say(
        table(
            ("layer", "level", "channels", "map", "tensor", "carried"),
            [
                (
                    layer.name,
                    layer.level or "-",
                    layer.channels,
                    f"{layer.height} x {layer.width}",
                    layer.tensor,
                    ", ".join(layer.carried) or "-",
                )
                for layer in model.layers
            ],
        )
    )


def _shape(image: ImageFormat) -> str:
    return f"{image.channels} x {image.height} x {image.width}"
