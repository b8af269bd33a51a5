"""Which model and layer a verb works at: those that were named, or those of a file of modules."""

from collections.abc import Sequence
from pathlib import Path

from graftscope.client._client import Client
from graftscope.client.arrays import Source, read_source
from graftscope.client.errors import InputError, UsageError
from graftscope.client.models import Model

SHIPPED_MODEL = "vae-celeba"
"""The model that is meant where a server has several and none was named."""


def chosen_model(client: Client, name: str | None) -> Model:
    """Find the model that was named, or the one that is meant."""
    return client.model(name) if name else meant_model(client.models())


def meant_model(found: Sequence[Model]) -> Model:
    """Take the model that is meant where none was named.

    Raises:
        UsageError: If none is.
    """
    models = {model.name: model for model in found}
    if len(models) == 1:
        return next(iter(models.values()))
    if SHIPPED_MODEL in models:
        return models[SHIPPED_MODEL]
    raise UsageError(f"say which model with --model NAME; there are: {', '.join(models) or 'none'}")


def chosen_layer(model: Model, name: str | None) -> str:
    """Take the layer that was named, or the intermediate one."""
    if name:
        return name
    if any(layer.level == "intermediate" for layer in model.layers):
        return "intermediate"
    raise UsageError(
        f"say which layer with --layer NAME; model {model.name!r} has: {model.layer_names()}"
    )


def chosen_place(
    client: Client, name: str | None, layer: str | None, modules: Path | None
) -> tuple[Model, str]:
    """Find the model and the layer; what is not named is taken from a file of modules.

    Args:
        client: The server's.
        name: The model's, if it was named.
        layer: The layer's or the level's, if it was named.
        modules: The file, if one was given. One that was made by hand says nothing of its layer.

    Returns:
        The model, and the layer's name or its level's.

    Raises:
        InputError: If the modules are of another model, or of another version of it.
        UsageError: If they are of another layer.
    """
    source = None if modules is None else read_source(modules)
    if modules is None or source is None:
        model = chosen_model(client, name)
        return model, chosen_layer(model, layer)
    model = model_of(client, source, modules, name)
    if layer is not None and model.layer(layer) != model.layer(source.layer):
        raise UsageError(
            f"{modules} is of {source}, not of layer {layer}: leave out --layer, or find modules"
            " of that layer"
        )
    return model, layer or source.layer


def model_of(client: Client, source: Source, path: Path, name: str | None = None) -> Model:
    """Find the model that a file is of, in the same version.

    Args:
        client: The server's.
        source: What the file is of.
        path: The file, for messages.
        name: The model's, if it was named.

    Raises:
        InputError: If the server does not have it, or in another version.
    """
    if name:
        model = client.model(name)
    else:
        models = {model.name: model for model in client.models()}
        if source.model not in models:
            raise InputError(
                f"{path} is of {source}, which this server does not have; it has:"
                f" {', '.join(models) or 'none'}; --bundle PATH names another bundle"
            )
        model = models[source.model]
    if model.digest != source.model_digest and model.name != source.model:
        raise InputError(
            f"{path} is of {source}, not of {model.name}: leave out --model, or give a file of"
            " that model"
        )
    if model.digest != source.model_digest:
        raise InputError(
            f"{path} is of {source}, which is another version than"
            f" {model.name}@{model.digest[:12]} of this server"
        )
    return model
