"""The verb influence."""

from pathlib import Path
from typing import Annotated, cast

import typer

from graftscope.client._results import InfluenceResult
from graftscope.client._tasks import InfluenceTask
from graftscope.client.cli._documents import influence_document
from graftscope.client.cli._following import compute, tell_dry_run
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
from graftscope.client.cli._places import chosen_place
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
    map_size: MapSizeOption = 0,
    products: ProductsOption = False,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Compute influence maps: where, and how much, each channel changes the image.

    Of every channel of the layer, of some (--channels), or of modules (--modules).
    """
    check_target(out, ".npz")
    channels, labels = chosen_channels(chosen)
    with opened(server) as client:
        model, at = chosen_place(client, which.model, layer, chosen.modules)
        task = InfluenceTask(
            model=model.name,
            layer=at,
            channels=channels,
            labels=labels,
            pairs=MAP_PAIRS if drawn.pairs is None else drawn.pairs,
            seed=drawn.seed,
            originals=chosen_originals(drawn, model),
            map_size=map_size,
            products=products,
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
        _tell(result, "channel" if labels is None else "module", out)


def _tell(result: InfluenceResult, unit: str, out: Path | None) -> None:
    height, width = result.maps.shape[1:]
    say(
        f"{counted(len(result.maps), 'map')} of {height} x {width}, {result.layer} of"
        f" {result.model}, {counted(result.pairs, 'pair')} ({result.originals}){written(out)}"
    )
    errors = result.individual_stderr / result.range_width
    say(
        table(
            (unit, "individual influence, % of the range", "standard error"),
            [
                (index, f"{100 * share:.3f}", f"{100 * error:.3f}")
                for index, share, error in zip(
                    result.channels, result.individual_share, errors, strict=True
                )
            ],
        )
    )
