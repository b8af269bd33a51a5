"""The verb influence."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import typer

from graftscope.client._client import Client
from graftscope.client._interventions import Intervention
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
    MAP_PAIRS,
    ChannelOptions,
    DryRunOption,
    JsonOption,
    MapSizeOption,
    ModelOptions,
    ModulesLayerOption,
    NpzOption,
    PairOptions,
    ServerOptions,
)
from graftscope.client.cli._output import counted, say, say_json, table, written
from graftscope.client.cli._places import chosen_model, chosen_place
from graftscope.client.cli._session import (
    check_target,
    chosen_channels,
    chosen_originals,
    opened,
)

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
    layer: ModulesLayerOption = None,
    intervene: EachInterveneOption = None,
    map_size: MapSizeOption = 0,
    products: ProductsOption = False,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Compute influence maps: where, and how much, each channel changes the image.

    Of every channel of the layer, of some (--channels), of modules (--modules), or of
    interventions of any kind, which may be at several layers (--intervene).
    """
    check_target(out, ".npz")
    if intervene:
        refuse_beside_intervene(chosen, layer)
    given = [Intervention.load(path) for path in intervene or ()]
    share, fix = parse_share(drawn.share), parse_fix(drawn.fix)
    with opened(server) as client:
        model, subject = _subject(client, which.model, given, chosen, layer)
        task = replace(
            subject,
            pairs=MAP_PAIRS if drawn.pairs is None else drawn.pairs,
            seed=drawn.seed,
            originals=chosen_originals(drawn, model),
            map_size=map_size,
            products=products,
            share=share,
            fix=fix,
        )
        if dry_run:
            tell_dry_run(client, [task], json)
            return
        result = cast(InfluenceResult, compute(client, task))
    if out:
        result.save(out)
    if json:
        say_json({**influence_document(result), "out": out})
    else:
        _tell(result, "channel" if task.labels is None else "module", out)


def _subject(
    client: Client,
    name: str | None,
    given: Sequence[Intervention],
    chosen: ChannelOptions,
    layer: str | None,
) -> tuple[Model, InfluenceTask]:
    """Find the model and what maps are wanted of; all else is left at its default."""
    if given:
        model = chosen_model(client, name)
        fitted = tuple(each.fitted(model) for each in given)
        return model, InfluenceTask(model.name, interventions=fitted)
    channels, labels = chosen_channels(chosen)
    model, at = chosen_place(client, name, layer, chosen.modules)
    return model, InfluenceTask(model.name, at, channels, labels)


def _tell(result: InfluenceResult, unit: str, out: Path | None) -> None:
    height, width = result.maps.shape[1:]
    say(
        f"{counted(len(result.maps), 'map')} of {height} x {width},"
        f" {result.layer or 'several layers'} of {result.model},"
        f" {counted(result.pairs, 'pair')} ({result.originals}){written(out)}"
    )
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
