"""Verbs that compute analyses: influence, modules."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import typer
from numpy.typing import NDArray

from graftscope.client._checks import whole_number
from graftscope.client._files import read_array
from graftscope.client._jobs import InfluenceTask, Method, ModulesTask
from graftscope.client._models import Model
from graftscope.client._results import InfluenceResult, ModulesResult
from graftscope.client._sources import Source, read_source
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._options import (
    MAP_PAIRS,
    ChannelOptions,
    DryRunOption,
    JsonOption,
    LayerOption,
    MapSizeOption,
    ModelOptions,
    ModulesLayerOption,
    NpzOption,
    PairOptions,
    ServerOptions,
)
from graftscope.client.cli._output import counted, note, say, say_json, table, written
from graftscope.client.cli._places import chosen_layer, chosen_model, chosen_place
from graftscope.client.cli._session import (
    check_target,
    chosen_channels,
    chosen_originals,
    opened,
)
from graftscope.client.errors import InputError, UsageError


def influence(
    server: ServerOptions,
    which: ModelOptions,
    chosen: ChannelOptions,
    drawn: PairOptions,
    layer: ModulesLayerOption = None,
    map_size: MapSizeOption = 0,
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
        _tell_influence(result, "channel" if labels is None else "module", out)


def influence_document(result: InfluenceResult) -> dict[str, object]:
    """Make the document of influence maps; the maps themselves are for `--out`."""
    return {
        "operation": result.operation,
        "model": result.model,
        "model_digest": result.execution.model_digest,
        "layer": result.layer,
        "originals": result.originals,
        "pairs": result.pairs,
        "distinct_images": result.distinct_images,
        "precision": result.execution.precision,
        "provider": result.execution.provider,
        "range_width": result.range_width,
        "map_shape": result.maps.shape[1:],
        "channels": result.channels,
        "individual": result.individual,
        "individual_stderr": result.individual_stderr,
    }


def _tell_influence(result: InfluenceResult, unit: str, out: Path | None) -> None:
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


KOption = Annotated[
    int, typer.Option("--k", metavar="K", help="How many modules, 1 to the number of maps.")
]
MethodOption = Annotated[
    str, typer.Option("--method", metavar="nmf|kmeans", help="How channels are grouped.")
]
SeedsOption = Annotated[
    str,
    typer.Option(
        "--seed",
        metavar="S",
        help="Of the grouping, 0 to 4294967295. Several with commas: the first gives the modules, "
        "the others tell how far they depend on it.",
    ),
]
MapsOption = Annotated[
    Path | None,
    typer.Option(
        "--maps",
        metavar="FILE.npz",
        help="Influence maps as `graftscope influence` wrote them. Default: they are computed, "
        "with the options below.",
    ),
]
PairsSeedOption = Annotated[
    int,
    typer.Option(
        "--pairs-seed", metavar="S", help="Decides the pairs of computed maps, 0 to 4294967295."
    ),
]
PairsCountOption = Annotated[
    int, typer.Option("--pairs", metavar="N", help="Pairs of computed maps, at least 1.")
]
PairsOriginalsOption = Annotated[
    str | None,
    typer.Option(
        "--originals",
        metavar="prior|encoded|PATH",
        help="Where the pairs of computed maps come from, as in `graftscope influence`.",
    ),
]


def modules(
    server: ServerOptions,
    which: ModelOptions,
    k: KOption = 3,
    method: MethodOption = "nmf",
    seed: SeedsOption = "0",
    maps: MapsOption = None,
    layer: LayerOption = None,
    pairs: PairsCountOption = MAP_PAIRS,
    pairs_seed: PairsSeedOption = 0,
    originals: PairsOriginalsOption = None,
    map_size: MapSizeOption = 0,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Find modules: groups of channels that change the same part of the image."""
    check_target(out, ".npz")
    seeds, grouped = parse_numbers("--seed", seed), parse_method(method)
    if maps is not None and (which.model is not None or layer is not None):
        raise UsageError("--maps are of a model's layer already: leave out --model, --layer")
    if maps is not None and dry_run:
        raise UsageError("--dry-run tells what maps would take: leave out --maps")
    given = None if maps is None else _read_maps(maps)
    with opened(server) as client:
        if given is None:
            drawn = PairOptions(pairs=pairs, seed=pairs_seed, originals=originals)
            model = chosen_model(client, which.model)
            at = chosen_layer(model, layer)
            check_k(k, model, at)
            wanted = _wanted_maps(model, at, drawn, map_size)
            if dry_run:
                tell_dry_run(client, [wanted], json)
                return
            computed = cast(InfluenceResult, compute(client, wanted))
            given = _Maps(computed.maps, computed.source)
        task = ModulesTask(maps=given.maps, k=k, method=grouped, seeds=seeds)
        found = cast(ModulesResult, compute(client, task))
        result = replace(found, source=given.source)
    if out:
        result.save(out)
    if json:
        say_json({**modules_document(result), "out": out})
    else:
        _tell_modules(result, out)


@dataclass(frozen=True, eq=False)
class _Maps:
    """Maps to find modules in, and what they are of, if that is known."""

    maps: NDArray[np.floating]
    source: Source | None


def _read_maps(path: Path) -> _Maps:
    maps = cast("NDArray[np.floating]", read_array(path, "maps"))  # the task's check is the proof
    return _Maps(maps, read_source(path))


def _wanted_maps(model: Model, layer: str, drawn: PairOptions, map_size: int) -> InfluenceTask:
    return InfluenceTask(
        model=model.name,
        layer=layer,
        pairs=MAP_PAIRS if drawn.pairs is None else drawn.pairs,
        seed=drawn.seed,
        originals=chosen_originals(drawn, model),
        map_size=map_size,
    )


def check_k(k: int, model: Model, layer: str) -> None:
    """Refuse, before maps are computed, a number of modules that the layer cannot have.

    Raises:
        InputError: If it is not from 1 to the number of channels, or there is no such layer.
    """
    channels = model.layer(layer).channels
    if whole_number("k", k, low=1) > channels:
        raise InputError(
            f"k {k} is more than the {channels} maps of layer {layer!r}, one a channel: it must be"
            f" from 1 to {channels}",
            field="k",
        )


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read integers from 0, with commas."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"{option} {text!r} is not integers from 0 with commas, like 0,1,2")
    return tuple(whole_number(option, int(part)) for part in parts)


def parse_method(text: str) -> Method:
    """Read how channels are grouped."""
    if text not in (Method.NMF, Method.KMEANS):
        raise InputError(f"--method {text!r} is unknown; there are: nmf, kmeans")
    return Method(text)


def modules_document(result: ModulesResult) -> dict[str, object]:
    """Make the document of modules; templates and weights are for `--out`."""
    return {
        "operation": result.operation,
        "source": None if result.source is None else vars(result.source),
        "k": len(result.templates),
        "method": result.method,
        "seeds": result.seeds,
        "labels": result.labels,
        "purity": result.purity,
        "agreement": result.agreement,
        "cosine": result.cosine,
        "seeds_agreeing": result.seeds_agreeing,
    }


def _tell_modules(result: ModulesResult, out: Path | None) -> None:
    of = "" if result.source is None else f" of {result.source}"
    say(f"{counted(len(result.templates), 'module')}{of} by {result.method}{written(out)}")
    rows = [
        (module, len(result.members(module)), _mean_purity(result, module), _listed(result, module))
        for module in range(len(result.templates))
    ]
    say(table(("module", "channels", "mean purity", "which"), rows))
    flat = np.flatnonzero(result.labels == -1)
    if flat.size:
        listed = ", ".join(map(str, flat))
        note(f"{counted(flat.size, 'flat map')}, in no module: {listed}")
    if len(result.seeds) > 1:
        say(f"{result.seeds_agreeing} of {len(result.seeds)} seeds agree with the first")


def _mean_purity(result: ModulesResult, module: int) -> str:
    members = result.labels == module
    return f"{result.purity[members].mean():.2f}" if members.any() else "-"


def _listed(result: ModulesResult, module: int) -> str:
    return " ".join(map(str, result.members(module))) or "-"
