"""The verb magnitude."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import typer

from graftscope.client._sweeps import MagnitudeResult, Regression
from graftscope.client._tasks import MagnitudeTask
from graftscope.client.cli._conditions import parse_fix, parse_share
from graftscope.client.cli._documents import magnitude_document
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._grouping import (
    FilterOptions,
    KsOption,
    MethodOption,
    parse_ks,
    parse_method,
)
from graftscope.client.cli._options import (
    MAP_PAIRS,
    PAIRS,
    DryRunOption,
    JsonOption,
    MapPairOptions,
    ModelOptions,
    NpzOption,
    ServerOptions,
    map_pairs,
)
from graftscope.client.cli._output import (
    counted,
    number,
    say,
    say_json,
    table,
    with_spread,
    written,
)
from graftscope.client.cli._places import chosen_model
from graftscope.client.cli._session import check_target, named_originals, opened
from graftscope.client.errors import InputError

LayersOption = Annotated[
    str | None,
    typer.Option(
        "--layers",
        metavar="NAME,NAME,...",
        help="Layers' or levels' names, with commas. Default: the last three.",
    ),
]
SeedOption = Annotated[
    int, typer.Option("--seed", metavar="S", help="Of the grouping, 0 to 4294967295.")
]


@dataclass(frozen=True)
class TwicePairOptions(MapPairOptions):
    """Where the pairs come from that find modules and that measure them."""

    pairs: Annotated[
        int | None,
        typer.Option(
            "--pairs",
            metavar="N",
            help="Pairs that find the modules, at least 1; as many that follow measure them. "
            f"Default: {MAP_PAIRS}.",
            rich_help_panel=PAIRS,
        ),
    ] = None


def magnitude(
    server: ServerOptions,
    which: ModelOptions,
    drawn: TwicePairOptions,
    counting: FilterOptions,
    layers: LayersOption = None,
    k: KsOption = None,
    method: MethodOption = "nmf",
    seed: SeedOption = 0,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Find out how much modules change the image as their number K grows, and what that depends on.

    Individual influence is the mean change of a pixel when the module's channels are swapped;
    spread is its standard deviation over the K modules. A module's share is that of its layer's
    channels. The lines tell what a channel, and a whole layer, changes; r² is the share of the
    modules' differences that a line explains.
    """
    check_target(out, ".npz")
    ks, grouped, names = parse_ks(k), parse_method(method), _parse_layers(layers)
    with opened(server) as client:
        model = chosen_model(client, which.model)
        task = MagnitudeTask(
            model=model.name,
            layers=names,
            ks=ks,
            method=grouped,
            seed=seed,
            pairs=map_pairs(drawn.pairs, drawn.stratified),
            stratified=drawn.stratified,
            pairs_seed=drawn.pairs_seed,
            originals=named_originals(drawn.originals, model),
            map_size=drawn.map_size,
            share=parse_share(drawn.share),
            fix=parse_fix(drawn.fix),
            window=counting.window,
            percentile=counting.percentile,
        )
        if dry_run:
            tell_dry_run(client, [task], json)
            return
        result = cast(MagnitudeResult, compute(client, task))
    if out:
        result.save(out)
    if json:
        say_json({**magnitude_document(result), "out": out})
    else:
        _tell(result, out)


def _parse_layers(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise InputError(f"--layers {text!r} is not names with commas, like coarse,fine")
    return names


def _tell(result: MagnitudeResult, out: Path | None) -> None:
    say(
        f"{counted(len(result.k), 'module')} by {result.method}, layers {', '.join(result.layers)}"
        f" of {result.model}, {counted(result.pairs, 'pair')} ({result.originals}) to find and as"
        f" many to measure them{written(out)}"
    )
    columns = ("layer", "K", "modules", "mean individual influence, % of the range", "spread")
    say(table(columns, _groups(result)))
    percent = 100 / result.range_width
    lines = [_line(each, "channels", "a channel", percent) for each in result.by_channels[:-1]]
    lines.append(_line(result.by_share[-1], "share", "a whole layer", percent))
    say(table(("line", "against", "slope, % of the range", "r²"), lines))


def _groups(result: MagnitudeResult) -> Iterator[tuple[object, ...]]:
    """Rows of one layer and one number of modules."""
    for layer in result.layers:
        for k in np.unique(result.k[result.layer == layer]):
            percent = 100 * result.individual_share[(result.layer == layer) & (result.k == k)]
            spread = percent.std(ddof=1) if len(percent) > 1 else np.nan
            yield layer, k, len(percent), number(percent.mean(), 3), number(spread, 3)


def _line(each: Regression, against: str, unit: str, percent: float) -> tuple[str, ...]:
    slope = with_spread(percent * each.slope, percent * each.slope_stderr, 3)
    return each.layer or "all layers", against, f"{slope} for {unit}", number(each.r2)
