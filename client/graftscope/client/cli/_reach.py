"""The verb reach."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import typer

from graftscope.client.arrays import write_bytes
from graftscope.client.cli._documents import document_of
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._model_and_layer import chosen_model
from graftscope.client.cli._output import say, say_json, table, written
from graftscope.client.cli._regions import image_region, parse_area, region_option
from graftscope.client.cli._request_options import Given
from graftscope.client.cli._session import check_drawing, check_target, named_originals, opened
from graftscope.client.cli._shared_options import (
    DryRunOption,
    JsonOption,
    ModelOptions,
    NpzOption,
    OriginalsOption,
    ServerOptions,
)
from graftscope.client.errors import UsageError
from graftscope.client.models import Model
from graftscope.client.values import ReachResult, ReachTask
from graftscope.client.words import counted

_TARGET = "What is to be changed"
_SHOWN = (1, 2, 4, 8, 16, 32, 64)
_BEST = 5


@dataclass(frozen=True)
class TargetOptions:
    """What is to be changed: one of the first three."""

    region: Annotated[
        str | None,
        region_option("A region of the image, by the mean change inside: ", _TARGET),
    ] = None
    attribute: Annotated[
        str | None,
        typer.Option(
            "--attribute",
            metavar="NAME",
            help="An output of a network, by its name or number, by how far it goes where original "
            "2's is.",
            rich_help_panel=_TARGET,
        ),
    ] = None
    of_class: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="A class of a network, by its name or number, by its probability likewise.",
            rich_help_panel=_TARGET,
        ),
    ] = None
    classifier: Annotated[
        str | None,
        typer.Option(
            "--classifier",
            metavar="FILE.onnx|NAME",
            help="The network: an ONNX file, or one that the server brings. Default: the one that "
            "suits the model.",
            rich_help_panel=_TARGET,
        ),
    ] = None


def reach(
    server: ServerOptions,
    which: ModelOptions,
    target: TargetOptions,
    asked: Given[ReachTask],
    originals: OriginalsOption = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw the curves."),
    ] = None,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Find out whether few latents reach a region, an attribute or a class, or few channels do.

    Latents, and the channels of each layer, are swapped one after the other, each time the one
    that adds most. What the first n do, in pairs that have not ranked them, is a share of what all
    together do. The area says by how much a layer's curve lies above that of the latents. Random
    is the same in random order.
    """
    check_target(out, ".npz")
    check_drawing(picture, "--picture")
    said = _target(target)
    with opened(server) as client:
        model = chosen_model(client, which.model)
        source = named_originals(originals, model)
        task = asked(model=model.name, originals=source, **_with_region(said, model))
        if dry_run:
            tell_dry_run(client, [task], json)
            return
        result = cast(ReachResult, compute(client, task))
    if out:
        result.save(out)
    if picture:
        # matplotlib is for the verbs that draw figures.
        from graftscope.client.figures import figure_png

        write_bytes(picture, figure_png(result.plot()))
    if json:
        say_json({**document_of(result), "out": out, "picture": picture})
    else:
        _tell(result, out)


def _target(options: TargetOptions) -> dict[str, Any]:
    """What was said of the target, before the model is known.

    Raises:
        UsageError: If it is not one thing, or a network is named for a region.
    """
    flags = {"region": "--region", "attribute": "--attribute", "of_class": "--class"}
    said = {name: value for name, value in vars(options).items() if value is not None}
    named = [flags[name] for name in said if name in flags]
    if len(named) != 1:
        told = f"; {' and '.join(named)} are given" if named else ""
        raise UsageError(f"give one of --region, --attribute and --class{told}")
    if "region" in said and "classifier" in said:
        raise UsageError("--region is of the image: leave out --classifier")
    if "region" in said:
        return {"region": parse_area(said["region"])}
    return said


def _with_region(said: dict[str, Any], model: Model) -> dict[str, Any]:
    return {
        name: image_region(value, model.image) if name == "region" else value
        for name, value in said.items()
    }


def _tell(result: ReachResult, out: Path | None) -> None:
    say(
        f"{result.target}: {counted(result.ranking_pairs, 'pair')} to rank and"
        f" {counted(result.held_out_pairs, 'pair')} to measure ({result.originals}) of"
        f" {result.model}{written(out)}"
    )
    places = [n for n in _SHOWN if n <= result.share.shape[1]]
    say(table(("units", "of", "reachable", *_heads(result, places)), _rows(result, places)))
    say(table(("layer", "above the latents: units", "share of all units"), _areas(result)))
    say(table(("units", "the best, the first one first"), _best(result)))


def _heads(result: ReachResult, places: Sequence[int]) -> list[str]:
    last = places[-1]
    spill = [] if result.spill is None else [f"spill of {last}", "spill of all"]
    return [*(f"best {n}, %" for n in places), f"random {last}, %", *spill]


def _rows(result: ReachResult, places: Sequence[int]) -> Iterator[tuple[object, ...]]:
    """What each kind of units can reach, and what share of it the best give."""
    last = places[-1] - 1
    for row, kind in enumerate(result.kinds):
        cells = [
            _percent(result.share[row, n - 1], result.share_stderr[row, n - 1]) for n in places
        ]
        cells.append(_percent(result.random[row, last], result.random_stderr[row, last]))
        if result.spill is not None and result.whole_spill is not None:
            cells += [_percent(result.spill[row, last]), _percent(result.whole_spill[row])]
        yield kind, result.units[row], f"{result.reachable[row]:.3g}", *cells


def _areas(result: ReachResult) -> Iterator[tuple[object, ...]]:
    for row, layer in enumerate(result.layers):
        yield (
            layer,
            _percent(result.by_count[row], result.by_count_stderr[row]),
            _percent(result.by_share[row], result.by_share_stderr[row]),
        )


def _best(result: ReachResult) -> Iterator[tuple[object, ...]]:
    for row, kind in enumerate(result.kinds):
        some = result.order[row, :_BEST]
        yield kind, ", ".join(result.unit_name(kind, unit) for unit in some[some >= 0].tolist())


def _percent(share: float, stderr: float | None = None) -> str:
    if not np.isfinite(share):
        return "-"
    told = f"{100 * share:.1f}"
    return told if stderr is None or not np.isfinite(stderr) else f"{told} ± {100 * stderr:.1f}"
