"""What `modules --as torch` prints: a hook of the layer, and the channels of every module."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.cli._model_and_layer import chosen_place
from graftscope.client.cli._output import say_code, say_json
from graftscope.client.cli._session import read_labels, spread_labels
from graftscope.client.errors import InputError, UsageError
from graftscope.client.hooks import torch_code, torch_hook
from graftscope.client.models import Layer, Model

AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="torch",
        help="Print the modules as PyTorch code instead: where the layer is in the original "
        "model, each module's channels, and a hook that swaps them. For generators that "
        "were exported from PyTorch.",
    ),
]
StoredOption = Annotated[
    Path | None,
    typer.Option(
        "--modules",
        metavar="FILE.npz",
        help="Print modules that were found before, as a table or with --as as code; nothing is "
        "computed.",
    ),
]


def check_form(form: str | None) -> None:
    """Refuse another language.

    Raises:
        InputError: If it is one.
    """
    if form is not None and form != "torch":
        raise InputError(f"--as {form!r} is unknown; there is: torch")


def check_alone(maps: Path | None, out: Path | None, dry_run: bool, said: Sequence[str]) -> None:
    """Refuse what does not go with modules that are found already.

    Args:
        maps: Maps to find them in.
        out: Where to write them.
        dry_run: Whether their cost is to be estimated.
        said: Options that say how they are found.

    Raises:
        UsageError: If any of it is there.
    """
    if said:
        raise UsageError(f"{said[0]} is of modules that are found: leave out --modules, or it")
    if maps is not None or out is not None or dry_run:
        raise UsageError(
            "--modules names modules that were already found: leave out --maps, --out, --dry-run"
        )


def hooked_place(
    client: Client, name: str | None, layer: str | None, path: Path | None
) -> tuple[Model, Layer]:
    """Find the model and the layer whose hook is asked for, before anything is computed.

    Args:
        client: The server's.
        name: The model's, if it was named.
        layer: The layer's or the level's, if it was named.
        path: A file of maps or of modules, if one was given.

    Raises:
        InputError: If it is not known where PyTorch computes the layer, or the file is of another
            version of the model.
        UsageError: If the file is of another layer.
    """
    model, at = chosen_place(client, name, layer, path)
    torch_hook(model, model.layer(at))
    return model, model.layer(at)


def stored_members(path: Path, layer: Layer) -> dict[int, tuple[int, ...]]:
    """Read each module's channels from a file of modules.

    Raises:
        NotFoundError: If there is no such file.
        InputError: If its labels are not labels of the layer's channels.
    """
    labels = spread_labels(read_labels(path), path, layer)
    if len(labels) != layer.channels:
        raise InputError(
            f"{path} is of {len(labels)} channels, layer {layer.name!r} has {layer.channels}"
        )
    return members_of(labels)


def members_of(labels: NDArray[np.integer]) -> dict[int, tuple[int, ...]]:
    """Each module's channels, by its index."""
    modules = range(int(labels.max()) + 1)
    return {module: tuple(np.flatnonzero(labels == module).tolist()) for module in modules}


def tell_torch(
    model: Model, layer: Layer, modules: Mapping[int, Sequence[int]], json: bool
) -> None:
    """Print the code, and with `json` its parts beside it.

    Raises:
        InputError: If it is not known where PyTorch computes the layer.
    """
    code = torch_code(model, layer, modules)
    if not json:
        say_code(code)
        return
    say_json(
        {
            "model": model.name,
            "model_digest": model.digest,
            "layer": layer.name,
            "torch_hook": vars(torch_hook(model, layer)),
            "modules": [
                {"module": module, "channels": channels} for module, channels in modules.items()
            ],
            "code": code,
        }
    )
