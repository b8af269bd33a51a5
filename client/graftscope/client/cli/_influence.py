"""The verb influence."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import typer

from graftscope.client._checks import names
from graftscope.client._client import Client
from graftscope.client._execution import checked_precision
from graftscope.client._interventions import Intervention
from graftscope.client._layers import LayersResult, layer_path
from graftscope.client._models import Model
from graftscope.client._results import InfluenceResult
from graftscope.client._tasks import InfluenceTask
from graftscope.client.cli._conditions import parse_fix, parse_share
from graftscope.client.cli._documents import influence_document
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._interventions import (
    EachInterveneOption,
    refuse_beside_intervene,
)
from graftscope.client.cli._options import (
    ChannelOptions,
    DryRunOption,
    JsonOption,
    MapSizeOption,
    ModelOptions,
    NpzOption,
    PairOptions,
    PrecisionOption,
    ServerOptions,
    StratifiedOption,
    map_pairs,
)
from graftscope.client.cli._output import counted, say, say_json, table, written
from graftscope.client.cli._places import chosen_model, chosen_place
from graftscope.client.cli._samples import tell_how
from graftscope.client.cli._session import (
    check_target,
    chosen_channels,
    chosen_originals,
    opened,
)
from graftscope.client.cli._until import UntilOption, parse_until
from graftscope.client.errors import UsageError

LayersOption = Annotated[
    str | None,
    typer.Option(
        "--layer",
        metavar="NAME[,NAME...]",
        help="A layer's name, or a level's: coarse, intermediate, fine, image. Default: that of "
        "--modules, or else intermediate, where the model has levels. Several with commas are "
        "computed in one pass; --out maps.npz then writes a file a layer: maps.coarse.npz.",
    ),
]

ProductsOption = Annotated[
    bool,
    typer.Option(
        "--products",
        help="Compute the products of every two channels' effects too, in the same pair: what the "
        "methods pca and spectral group by.",
    ),
]


def influence(
    server: ServerOptions,
    which: ModelOptions,
    chosen: ChannelOptions,
    drawn: PairOptions,
    layer: LayersOption = None,
    intervene: EachInterveneOption = None,
    until: UntilOption = None,
    stratified: StratifiedOption = False,
    map_size: MapSizeOption = 0,
    products: ProductsOption = False,
    precision: PrecisionOption = "fp32",
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Compute influence maps: where, and how much, each channel changes the image.

    Of every channel of the layer, of some (--channels), of modules (--modules), or of
    interventions of any kind, which may be at several layers (--intervene). Several layers
    (--layer coarse,fine) are computed in one pass, every channel of each.
    """
    layers = _several(layer, chosen)
    for path in _targets(out, layers):
        check_target(path, ".npz")
    if intervene:
        refuse_beside_intervene(chosen, layer)
    given = [Intervention.load(path) for path in intervene or ()]
    share, fix, rule = parse_share(drawn.share), parse_fix(drawn.fix), parse_until(until)
    with opened(server) as client:
        model, subject = _subject(client, which.model, given, chosen, layer, layers)
        task = replace(
            subject,
            pairs=map_pairs(drawn.pairs, stratified),
            seed=drawn.seed,
            originals=chosen_originals(drawn, model),
            map_size=map_size,
            products=products,
            share=share,
            fix=fix,
            until=rule,
            precision=checked_precision(precision),
            stratified=stratified,
        )
        if dry_run:
            tell_dry_run(client, [task], json)
            return
        found = compute(client, task)
    results = list(found.layers.values()) if isinstance(found, LayersResult) else [found]
    whole = cast(list[InfluenceResult], results)
    documents = []
    for result, path in zip(whole, _targets(out, layers), strict=True):
        if path:
            result.save(path)
        if not json:
            _tell(result, "channel" if task.labels is None else "module", path)
        documents.append({**influence_document(result), "out": path})
    if json:
        say_json({"layers": documents} if layers else documents[0])


def _several(layer: str | None, chosen: ChannelOptions) -> tuple[str, ...]:
    """Read the names of several layers; none where one is named, or none at all."""
    if layer is None or "," not in layer:
        return ()
    if chosen != ChannelOptions():
        raise UsageError(
            "several layers are computed with every channel of each: leave out --channels and"
            " --modules, or name one layer"
        )
    return names("--layer", [part.strip() for part in layer.split(",")])


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
) -> tuple[Model, InfluenceTask]:
    """Find the model and what maps are wanted of; all else is left at its default."""
    if given:
        model = chosen_model(client, name)
        fitted = tuple(each.fitted(model) for each in given)
        return model, InfluenceTask(model.name, interventions=fitted)
    if layers:
        model = chosen_model(client, name)
        return model, InfluenceTask(model.name, layers=layers)
    channels, labels = chosen_channels(chosen)
    model, at = chosen_place(client, name, layer, chosen.modules)
    return model, InfluenceTask(model.name, at, channels, labels)


def _tell(result: InfluenceResult, unit: str, out: Path | None) -> None:
    height, width = result.maps.shape[1:]
    say(
        f"{counted(len(result.maps), 'map')} of {height} x {width},"
        f" {result.layer or 'several layers'} of {result.model},"
        f" {counted(result.pairs, 'pair')}"
        f" ({result.originals}{', stratified' if result.stratified else ''}){written(out)}"
    )
    tell_how(result.execution)
    errors = result.individual_stderr / result.range_width
    heads, rows = _rows(result, unit)
    say(
        table(
            (*heads, "individual influence, % of the range", "standard error"),
            [
                (*each, f"{100 * share:.3f}", f"{100 * error:.3f}")
                for each, share, error in zip(rows, result.individual_share, errors, strict=True)
            ],
        )
    )


def _rows(result: InfluenceResult, unit: str) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """What tells the maps apart: the columns' heads, and a row a map."""
    if result.interventions:
        return ("intervention", "which"), list(enumerate(map(str, result.interventions)))
    return (unit,), [(index,) for index in result.channels]
