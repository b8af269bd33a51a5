"""The verb influence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import numpy as np

from graftscope.client._client import Client
from graftscope.client.arrays import Flag, Names, Whole
from graftscope.client.cli._documents import document_of
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._interventions import (
    EachInterveneOption,
    refuse_beside_intervene,
)
from graftscope.client.cli._model_and_layer import chosen_model, chosen_place
from graftscope.client.cli._output import say, say_json, table, tell_how, written
from graftscope.client.cli._request_options import Given
from graftscope.client.cli._session import (
    check_target,
    chosen_channels,
    chosen_originals,
    opened,
    spread_labels,
)
from graftscope.client.cli._shared_options import (
    LAYER,
    ChannelOptions,
    DryRunOption,
    JsonOption,
    ModelOptions,
    NpzOption,
    OriginalsOptions,
    ServerOptions,
)
from graftscope.client.errors import UsageError
from graftscope.client.interventions import Intervention
from graftscope.client.models import Model
from graftscope.client.values import (
    InfluenceResult,
    InfluenceTask,
    LayersResult,
    layer_path,
    told_pairs,
    told_precision,
)
from graftscope.client.words import counted

EachLayerOption = Annotated[
    Sequence[str] | None,
    Names(1),
    Flag(
        "--layer",
        "NAME,...",
        f"{LAYER} Several, with commas or repeated, are computed in one pass; --out maps.npz "
        "then writes one file per layer: maps.coarse.npz. Default: that of --modules, or else "
        "intermediate, where the model has levels.",
    ),
]

SHOWN = 10
"""Maps that are shown where nobody says how many."""

TopOption = Annotated[
    int,
    Whole(1),
    Flag(
        "--top",
        "N",
        "List the N channels with the largest individual influence, and their share of the sum "
        "over all channels. --json and --out always have all maps.",
    ),
]


def influence(
    server: ServerOptions,
    which: ModelOptions,
    chosen: ChannelOptions,
    originals: OriginalsOptions,
    asked: Given[InfluenceTask],
    layer: EachLayerOption = None,
    intervene: EachInterveneOption = None,
    top: TopOption = SHOWN,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Compute influence maps: where, and how much, each channel changes the image.

    There is a map for every channel of the layer, or for some channels (--channels), modules
    (--modules), or interventions of any kind, also at several layers (--intervene). Several layers
    (--layer coarse,fine) are computed in one pass, every channel of each.
    """
    layers, place = _divided(layer, chosen)
    for path in _targets(out, layers):
        check_target(path, ".npz")
    if intervene:
        refuse_beside_intervene(chosen, place)
    given = [Intervention.load(path) for path in intervene or ()]
    with opened(server) as client:
        model, subject = _subject(client, which.model, given, chosen, place, layers)
        takes = not given or any(each.takes_original2 for each in given)
        drawn = chosen_originals(originals, model, asked, takes_second=takes)
        task = asked(model=model.name, originals=drawn, **subject)
        if dry_run:
            tell_dry_run(client, [task], json)
            return
        found = compute(client, task)
    results = list(found.layers.values()) if isinstance(found, LayersResult) else [found]
    whole = cast(list[InfluenceResult], results)
    documents = []
    if out and isinstance(found, LayersResult):
        found.save(out, layers)
    elif out:
        whole[0].save(out)
    for result, path in zip(whole, _targets(out, layers), strict=True):
        if not json:
            _tell(result, "channel" if task.labels is None else "module", top, path)
        documents.append({**document_of(result), "out": path})
    if json:
        say_json({"layers": documents} if layers else documents[0])


def _divided(
    named: Sequence[str] | None, chosen: ChannelOptions
) -> tuple[tuple[str, ...], str | None]:
    """Tell several layers from one, or none at all."""
    if named is None or len(named) == 1:
        return (), named[0] if named else None
    if chosen != ChannelOptions():
        raise UsageError(
            "several layers are computed with every channel of each: leave out --channels and"
            " --modules, or name one layer"
        )
    return tuple(named), None


def _targets(out: Path | None, layers: Sequence[str]) -> list[Path | None]:
    """Where each layer's maps are written, if anywhere: maps.coarse.npz for maps.npz."""
    return [out and layer_path(out, name) for name in layers] if layers else [out]


def _subject(
    client: Client,
    name: str | None,
    given: Sequence[Intervention],
    chosen: ChannelOptions,
    layer: str | None,
    layers: tuple[str, ...],
) -> tuple[Model, dict[str, object]]:
    """Find the model and what maps are wanted of, as fields of the request."""
    if given:
        model = chosen_model(client, name)
        return model, {"interventions": [each.fitted(model) for each in given]}
    if layers:
        return chosen_model(client, name), {"layers": layers}
    channels, labels = chosen_channels(chosen)
    model, at = chosen_place(client, name, layer, chosen.modules)
    if labels is not None and chosen.modules is not None:
        labels = spread_labels(labels, chosen.modules, model.layer(at))
    return model, {"layer": at, "channels": channels, "labels": labels}


def _tell(result: InfluenceResult, unit: str, top: int, out: Path | None) -> None:
    height, width = result.maps.shape[1:]
    say(
        f"{counted(len(result.maps), 'map')} of {height} x {width},"
        f" {result.layer or 'several layers'} of {result.model},"
        f" {told_pairs(result.pairs_of, 'intervention' if result.interventions else unit)}"
        f" ({result.originals}{', stratified' if result.stratified else ''}){written(out)}"
    )
    tell_how(result.execution, told_precision(result))
    errors = result.individual_stderr / result.range_width
    heads, rows = _rows(result, unit)
    shown = np.argsort(-result.individual, kind="stable")[:top]
    say(
        table(
            (*heads, "individual influence, % of the range", "standard error"),
            [
                (*rows[at], f"{100 * result.individual_share[at]:.3f}", f"{100 * errors[at]:.3f}")
                for at in shown
            ],
        )
    )
    if len(shown) < len(rows):
        total = result.individual.sum()
        share = result.individual[shown].sum() / total if total else 0.0
        say(f"{len(shown)} of {counted(len(rows), unit)}: {share:.0%} of the sum of all influences")


def _rows(result: InfluenceResult, unit: str) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """What tells the maps apart: the columns' heads, and a row a map."""
    if result.interventions:
        return ("intervention", "which"), list(enumerate(map(str, result.interventions)))
    return (unit,), [(index,) for index in result.channels]
