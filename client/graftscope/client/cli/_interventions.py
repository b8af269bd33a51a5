"""Options about interventions: read from files, or meant by other options, and written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.arrays import module_labels
from graftscope.client.cli._model_and_layer import chosen_place
from graftscope.client.cli._session import chosen_channels, spread_labels
from graftscope.client.cli._shared_options import CHANNELS, ChannelOptions
from graftscope.client.errors import UsageError
from graftscope.client.interventions import Intervention
from graftscope.client.models import Model
from graftscope.client.values import HybridsTask

InterveneOption = Annotated[
    Path | None,
    typer.Option(
        "--intervene",
        metavar="FILE.json",
        help="The intervention to make, at one layer or at several, instead of --layer, "
        "--channels and --modules: a file that --save-intervention or a report wrote, or "
        "one written by hand.",
        rich_help_panel=CHANNELS,
    ),
]
EachInterveneOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--intervene",
        metavar="FILE.json",
        help="Maps of interventions, as `graftscope hybridize` takes them, instead of --layer, "
        "--channels and --modules; may be repeated, for one map each.",
        rich_help_panel=CHANNELS,
    ),
]
SaveInterventionOption = Annotated[
    Path | None,
    typer.Option(
        "--save-intervention",
        metavar="FILE.json",
        help="Write the intervention that the options describe to this self-contained file.",
        rich_help_panel=CHANNELS,
    ),
]


def refuse_beside_intervene(
    chosen: ChannelOptions, layer: str | None, module: int | None = None
) -> None:
    """Refuse options that say what an intervention says already.

    Raises:
        UsageError: If there is one.
    """
    given = {
        "--layer": layer,
        "--channels": chosen.channels,
        "--modules": chosen.modules,
        "--module": module,
    }
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"--intervene names layers and channels itself: leave out {option}")


def meant_intervention(
    client: Client,
    name: str | None,
    chosen: ChannelOptions,
    layer: str | None,
    module: int | None,
) -> tuple[Model, Intervention]:
    """Find the model, and the swap from original 2 that options mean.

    Args:
        client: The server's.
        name: The model's, if it was named.
        chosen: Which channels, or which modules.
        layer: The layer's or the level's, if it was named.
        module: Which of the modules.
    """
    channels, labels = chosen_channels(chosen)
    _check_target(channels, labels, module)
    model, at = chosen_place(client, name, layer, chosen.modules)
    if labels is not None and chosen.modules is not None:
        labels = spread_labels(labels, chosen.modules, model.layer(at))
    return model, HybridsTask(model.name, at, channels, labels, module).meant()


def _check_target(
    channels: Sequence[int] | None, labels: NDArray[np.integer] | None, module: int | None
) -> None:
    if labels is not None and module is None:
        last = module_labels(labels).max()
        raise UsageError(f"say which module: --module {f'0 to {last}' if last else 0}")
    if channels is None and labels is None:
        raise UsageError(
            "say which channels: --channels 1,5,9, or --modules FILE.npz --module J, or"
            " --intervene FILE.json"
        )
