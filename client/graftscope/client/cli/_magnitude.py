"""The verb magnitude."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

import numpy as np

from graftscope.client.cli._documents import document_of
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._model_and_layer import chosen_model
from graftscope.client.cli._output import say, say_json, table, written
from graftscope.client.cli._request_options import As, Given, Offer
from graftscope.client.cli._session import check_target, named_originals, opened
from graftscope.client.cli._shared_options import (
    DryRunOption,
    JsonOption,
    ModelOptions,
    NpzOption,
    OriginalsOption,
    SeedOption,
    ServerOptions,
)
from graftscope.client.values import MagnitudeResult, MagnitudeTask, Regression
from graftscope.client.words import counted, number, with_spread

_TWICE = "Pairs that find the modules, at least 1; as many that follow measure them. Default: 1000."


def magnitude(
    server: ServerOptions,
    which: ModelOptions,
    asked: Annotated[Given[MagnitudeTask], Offer(changed={"pairs": As(help=_TWICE)})],
    originals: OriginalsOption = None,
    seed: SeedOption = None,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Find out how much modules change the image as their number K grows, and what that depends on.

    Individual influence is the mean change of a pixel when the module's channels are swapped;
    spread is its standard deviation over the K modules. A module's share is the
    part of its layer's channels that it has. The lines say how much a channel, and a whole layer,
    changes; r² is the share of the variance between modules that a line explains.
    """
    check_target(out, ".npz")
    asked = asked.unless_said(seed=seed, pairs_seed=seed)
    with opened(server) as client:
        model = chosen_model(client, which.model)
        task = asked(model=model.name, originals=named_originals(originals, model))
        if dry_run:
            tell_dry_run(client, [task], json)
            return
        result = cast(MagnitudeResult, compute(client, task))
    if out:
        result.save(out)
    if json:
        say_json({**document_of(result), "out": out})
    else:
        _tell(result, out)


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
