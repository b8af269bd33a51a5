"""The verb export-hybrids."""

import time
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.arrays import check_writable
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._maps import MapsOptions, check_k, computed_maps, wanted_maps
from graftscope.client.cli._model_and_layer import chosen_place
from graftscope.client.cli._output import note, say, say_json
from graftscope.client.cli._progress import Shown, shown
from graftscope.client.cli._request_options import As, Given, Offer
from graftscope.client.cli._session import named_originals, opened, read_labels, spread_labels
from graftscope.client.cli._shared_options import (
    CHANNELS,
    DryRunOption,
    JsonOption,
    ModelOptions,
    ModulesLayerOption,
    OriginalsOption,
    ServerOptions,
)
from graftscope.client.cli._usual_pairs import modules_of
from graftscope.client.cli._worth_options import labels_like
from graftscope.client.display import Advance
from graftscope.client.errors import StoppedError, UsageError
from graftscope.client.hybrid_sets import (
    MODULES,
    HybridSet,
    SetCost,
    check_recipe,
    export_hybrids,
    set_cost,
)
from graftscope.client.models import Model
from graftscope.client.values import ImageNetwork, InfluenceTask, ModulesResult, ModulesTask
from graftscope.client.words import counted, duration, size

Asked = Annotated[
    Given[HybridSet],
    Offer(changed={"pairs": As(help="How many pairs of originals, at least 1. Default: 1000.")}),
]
Grouping = Annotated[Given[ModulesTask], Offer(only=("k", "method"))]
ModulesFileOption = Annotated[
    Path | None,
    typer.Option(
        "--modules",
        metavar="FILE.npz",
        help="Modules as `graftscope modules` wrote them. Default: those of a folder that was "
        "begun, or else modules that are found first, with --k and --method.",
        rich_help_panel=CHANNELS,
    ),
]
ClassifierOption = Annotated[
    str | None,
    typer.Option(
        "--classifier",
        metavar="FILE.onnx|NAME",
        help="What tells the class of each original, as of `graftscope probe`: an ONNX file that "
        "says how it takes images, or cifar10. Default: the generator's label, if it takes one.",
    ),
]
SetOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR|FILE.npz",
        help="A new folder for images and tables, or one that an interrupted export began; or a "
        "file for all of it as arrays.",
    ),
]


def export_hybrid_set(
    server: ServerOptions,
    which: ModelOptions,
    asked: Asked,
    grouping: Grouping,
    modules: ModulesFileOption = None,
    layer: ModulesLayerOption = None,
    originals: OriginalsOption = None,
    classifier: ClassifierOption = None,
    dry_run: DryRunOption = False,
    out: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Write a labelled set of hybrids: images, and where each of their modules comes from.

    For every pair there is an image with each module of original 2, and on request the originals
    and mixtures of several donors. Train a classifier on them that shall not mind what a module
    draws, or look at what it says of them. The same command continues an export that was
    interrupted.
    """
    if out is None and not dry_run:
        raise UsageError("say where the images go: --out DIR, or --out FILE.npz")
    _check_out(out)
    found = modules if modules is not None else _begun(out)
    if found is not None and grouping.options():
        raise UsageError(
            f"{grouping.options()[0]} is of modules that are found first, and {found} holds"
            " modules: leave it out"
        )
    with opened(server) as client:
        model, place = chosen_place(client, which.model, layer, found)
        pairs = named_originals(originals, model)
        if dry_run:
            labels = None if found is None else _read(found, model, place)
            told = _dry_run(client, model, place, labels, asked, grouping)
            _tell_cost(told, json)
            return
        assert out is not None
        labels = (
            _found(client, model, place, grouping, out)
            if found is None
            else _read(found, model, place)
        )
        wanted = asked(
            model=model.name,
            layer=place,
            labels=labels,
            originals=pairs,
            classifier=classifier and ImageNetwork.named(classifier),
        )
        with shown("export-hybrids", "images") as show:
            rate = _Rate(show)
            try:
                made = export_hybrids(client, out, wanted, rate)
            except KeyboardInterrupt:
                raise StoppedError(_stopped(rate.done, wanted.images, out)) from None
    _tell(model, wanted, made, out, json)


def _check_out(out: Path | None) -> None:
    if out is not None and out.suffix == ".npz":
        check_writable(out)
    elif out is not None and out.is_file():
        raise UsageError(f"--out {out} is a file: name a folder, or FILE.npz")


def _begun(out: Path | None) -> Path | None:
    """The modules of a folder that was begun."""
    kept = None if out is None or out.suffix == ".npz" else out / MODULES
    return kept if kept is not None and kept.is_file() else None


def _read(path: Path, model: Model, place: str) -> NDArray[np.integer]:
    return spread_labels(read_labels(path), path, model.layer(place))


def _found(
    client: Client, model: Model, place: str, grouping: Given[ModulesTask], out: Path
) -> NDArray[np.integer]:
    """Find modules, and keep them in the folder, which then says all that the images are of."""
    is_folder = out.suffix != ".npz"
    if is_folder:
        check_recipe(out, {})
    wanted = _maps(model, place, grouping)
    maps = computed_maps(client, wanted, modules_of(grouping))
    task = grouping(maps=maps.maps, products=maps.products, groups=maps.groups)
    result = cast(ModulesResult, compute(client, task)).of_maps(maps.of)
    if is_folder:
        out.mkdir(parents=True, exist_ok=True)
        result.save(out / MODULES)
    return result.labels


def _maps(model: Model, place: str, grouping: Given[ModulesTask]) -> InfluenceTask:
    check_k(grouping["k"], model, place)
    chosen, drawn = MapsOptions(layer=place), Given(InfluenceTask)
    return wanted_maps(model, chosen, drawn, [grouping["method"]], grouping=grouping)


def _dry_run(
    client: Client,
    model: Model,
    place: str,
    labels: NDArray[np.integer] | None,
    asked: Given[HybridSet],
    grouping: Given[ModulesTask],
) -> SetCost:
    if labels is None:
        note("the modules would be found first:")
        tell_dry_run(client, [_maps(model, place, grouping)], json=False)
        labels = labels_like(model, place, grouping["k"])
    return set_cost(client, asked(model=model.name, layer=place, labels=labels))


def _tell_cost(cost: SetCost, json: bool) -> None:
    if json:
        say_json({"estimate": vars(cost)})
        return
    note(
        f"{counted(cost.images, 'image')}, about {duration(cost.duration_s)}, about"
        f" {size(cost.image_bytes)} of PNG files"
    )


def _stopped(done: int, total: int, out: Path) -> str:
    if out.suffix == ".npz":
        return f"interrupted after {done:,} of {counted(total, 'image')}; nothing was written"
    return (
        f"interrupted after {done:,} of {counted(total, 'image')}; the same command goes on with"
        f" what is in {out}"
    )


class _Rate:
    """Shows how many images there are, how fast they come, and how long the rest takes."""

    def __init__(self, show: Shown) -> None:
        self._show = show
        self.done = 0
        self._begun_s: float | None = None
        self._first = 0

    def __call__(self, done: int, total: int) -> None:
        """Take a number of images."""
        self.done, now_s = done, time.monotonic()
        if self._begun_s is None:
            self._begun_s, self._first = now_s, done
        took_s, fresh = now_s - self._begun_s, done - self._first
        rate = fresh / took_s if took_s > 0 else 0.0
        self._show(
            Advance(
                done,
                total,
                rate=f"{rate:,.0f} images/s" if rate else "",
                eta_s=(total - done) / rate if rate else None,
            )
        )


def _tell(model: Model, wanted: HybridSet, made: int, out: Path, json: bool) -> None:
    if json:
        say_json(
            {
                "model": model.name,
                "model_digest": model.digest,
                "layer": model.layer(wanted.layer).name,
                "pairs": wanted.pairs,
                "modules": wanted.swapped,
                "mixtures": wanted.mixtures,
                "images": wanted.images,
                "made": made,
                "out": out,
            }
        )
        return
    before = wanted.images - made
    there = f", {before:,} of which were there" if before else ""
    say(
        f"{counted(wanted.images, 'image')} of {counted(wanted.pairs, 'pair')} of {model.name} at"
        f" {wanted.layer}{there} -> {out}"
    )
