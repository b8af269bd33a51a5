"""Verbs about models: models, inspect."""

from pathlib import Path
from typing import Annotated

import typer

from graftscope.client.calls import import_room, translated
from graftscope.client.cli._generator_drawing import DRAWN, PLAIN, draw_chain
from graftscope.client.cli._output import note, say, say_json, say_lines, table
from graftscope.client.cli._session import opened
from graftscope.client.cli._shared_options import JsonOption, ServerOptions
from graftscope.client.models import ImageFormat, Model
from graftscope.client.wire import manifest_from, model_from
from graftscope.codec import agreement_lines
from graftscope.v1 import bundle_pb2, model_service_pb2


def models(
    server: ServerOptions,
    add: Annotated[
        Path | None,
        typer.Option(
            "--add",
            metavar="BUNDLE",
            help="Add this bundle to the models of the server, from now on and after its next "
            "start. The server must allow it (`serve --allow-registration`).",
        ),
    ] = None,
    remove: Annotated[
        str | None,
        typer.Option(
            "--remove",
            metavar="NAME",
            help="Remove a model from the server, if it was added with --add.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the models of a server, with their layers; add or remove one."""
    with opened(server) as client:
        if remove is not None:
            client.unregister(remove)
            note(f"{remove} is no longer served")
        if add is not None:
            note(f"{client.register(add).name} is served from now on")
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
    bundle: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE",
            help="A bundle's folder, or the name of one that comes with the package.",
        ),
    ],
    json: JsonOption = False,
) -> None:
    """Verify a bundle and draw what it holds; --json prints its manifest.

    It begins with how the bundle's graphs differ in form from their source, such as a cast to
    float32, and how far images may differ because of rounding. For every layer follow its shape,
    its level, what else crosses the cut, and the number of weights and the cost of one sample (a
    multiply-add is two operations) from the inputs to the layer (up) and from there to the image
    (down).
    """
    room = import_room("graftscope.bundle", "server")
    sandbox = import_room("graftscope.sandbox", "server")
    with translated("graftscope."):
        shipped = {} if bundle.exists() else room.shipped()
        found = room.read_bundle(shipped.get(str(bundle), bundle))
        sandbox.Sandbox().require_bundle(found)
    manifest = found.manifest
    if json:
        say_json(manifest_from(manifest))
        return
    model = model_of_manifest(manifest)
    say(f"{model.name}, digest {model.digest}, {_encoder(manifest)}")
    if told := manifest.provenance.settings.get("originals"):
        say(f"originals: {told}")
    for line in (*manifest.provenance.changes, *agreement_lines(manifest.provenance)):
        say(line)
    say("")
    say_chain(model)


def model_of_manifest(manifest: bundle_pb2.Bundle) -> Model:
    """Read a bundle's manifest as if a server had described it."""
    return model_from(model_service_pb2.Model(name=manifest.name, bundle=manifest))


def say_chain(model: Model, *, carried: bool = True) -> None:
    """Draw a model's chain of layers on standard output, as wide as that is."""
    say_lines(
        lambda width, more_than_ascii: draw_chain(
            model, width, DRAWN if more_than_ascii else PLAIN, carried=carried
        )
    )


def _encoder(manifest: bundle_pb2.Bundle) -> str:
    if not manifest.HasField("encoder"):
        return "without encoder"
    return f"with encoder{' and' if manifest.encoder.originals else ', without'} originals"


def _shape(image: ImageFormat) -> str:
    return f"{image.channels} x {image.height} x {image.width}"
