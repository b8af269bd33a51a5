"""The verb find."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import RenderableType

from graftscope.client._client import Client
from graftscope.client.arrays import (
    Source,
    read_npz,
    read_source,
    whole_number,
    write_bytes,
)
from graftscope.client.cli._documents import found_document
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._grafted import (
    Grafted,
    graft_found,
    pairs_after,
    pairs_after_file,
    save_found,
    tell_grafts,
    told_share,
)
from graftscope.client.cli._maps import ComputedAlone, MapsOptions, given_maps, wanted_maps
from graftscope.client.cli._model_and_layer import chosen_model
from graftscope.client.cli._output import note, say, say_json, table, written
from graftscope.client.cli._regions import Area, parse_area, region_of, region_option
from graftscope.client.cli._request_options import Given
from graftscope.client.cli._session import check_drawing, check_target, opened, read_labels
from graftscope.client.cli._shared_options import (
    DryRunOption,
    JsonOption,
    ModelOptions,
    NpzOption,
    ServerOptions,
)
from graftscope.client.errors import InputError, NotFoundError
from graftscope.client.finding import (
    FOUND_FROM,
    Contrast,
    FoundChannels,
    check_whole,
    find_channels,
)
from graftscope.client.values import InfluenceResult, InfluenceTask
from graftscope.client.words import counted

SHOWN = 20
"""Channels in the table, or more until all that were found are; `--json` and `--out` have all."""

Maps = tuple[NDArray[np.floating], NDArray[np.floating] | None, Source | None]
"""Influence maps, their standard errors where they are known, and what they are of."""

RegionOption = Annotated[str, region_option("Where: ")]
RankedModulesOption = Annotated[
    Path | None,
    typer.Option(
        "--modules",
        metavar="FILE.npz",
        help="Also rank these modules of the same layer, by the sum of their channels' maps.",
    ),
]
AtLeastOption = Annotated[
    float | None,
    typer.Option(
        "--at-least",
        metavar="RATIO",
        help="Find channels with at least this many times the influence inside as outside, above "
        f"0. Default: {FOUND_FROM:g}, or 1 with --top.",
    ),
]
TopOption = Annotated[
    int | None, typer.Option("--top", metavar="N", help="Find at most the N highest, from 1.")
]
GraftOption = Annotated[
    int | None,
    typer.Option(
        "--graft",
        metavar="N",
        help="Also graft the channels that were found, all at once, into N pairs that follow those "
        "of the maps, and each of --modules; say which share of the change falls outside.",
    ),
]
DrawingOption = Annotated[
    Path | None,
    typer.Option(
        "--picture",
        metavar="FILE.png",
        help="Draw the region over the mean of all maps and over the sum of the maps that were "
        "found.",
    ),
]


def find(
    server: ServerOptions,
    which: ModelOptions,
    chosen: MapsOptions,
    computed: ComputedAlone,
    region: RegionOption,
    modules: RankedModulesOption = None,
    at_least: AtLeastOption = None,
    top: TopOption = None,
    graft: GraftOption = None,
    picture: DrawingOption = None,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Find the channels that act inside a region of the image more than outside of it.

    A channel's score is its mean influence inside divided by that outside. A channel is found if
    its score is high enough, and inside exceeds outside by more than two standard errors. Spill is
    the share of its change that falls outside. --out writes the channels as a module that other
    verbs take.
    """
    check_target(out, ".npz")
    check_drawing(picture, "--picture")
    if graft is not None:
        whole_number("graft", graft, low=1)
    area = parse_area(region)
    labels = None if modules is None else read_labels(modules)
    if given_maps(chosen, which.model, (), dry_run, computed) is not None:
        maps, where = _stored(cast(Path, chosen.maps), area, server)
    elif dry_run:
        with opened(server) as client:
            model = chosen_model(client, which.model)
            tell_dry_run(client, [wanted_maps(model, chosen, computed, ())], json)
        return
    else:
        maps, where = _computed(server, which, chosen, computed, area)
    values, stderr, source = maps
    found = find_channels(values, where, stderr=stderr, at_least=at_least, top=top)
    found = replace(found, source=source)
    ranked = None if labels is None else found.modules(cast("NDArray[np.integer]", labels))
    if not found.channels:
        raise NotFoundError(_nothing(found))
    grafts = None
    if graft is not None:
        grafts = _grafted(server, chosen, computed, found, labels, where, graft)
    if out:
        save_found(found, grafts, out)
    if picture:
        _draw(found, picture)
    if json:
        told = {} if grafts is None else grafts.facts()
        say_json({**found_document(found, ranked), **told, "out": out, "picture": picture})
    else:
        _tell(found, ranked, grafts, out)


def _stored(path: Path, area: Area, server: ServerOptions) -> tuple[Maps, NDArray[np.float64]]:
    """Read the maps of a file, and make the region of their image."""
    arrays = cast("dict[str, NDArray[np.floating]]", read_npz(path))  # find's check is the proof
    check_whole(arrays.get("channels", np.arange(len(arrays["maps"]))), str(path))
    source, stderr = read_source(path), arrays.get("stderr")
    if stderr is not None and not np.isfinite(stderr).all():
        note(f"{path} is of too few pairs for standard errors: only means are compared")
        stderr = None
    if not isinstance(area, tuple):
        size = area.shape
    elif source is not None:
        with opened(server) as client:
            size = _image_size(client, source)
    else:
        size = arrays["maps"].shape[1:]
        note(f"{path} does not say its model: the rectangle is in pixels of its maps")
    return (arrays["maps"], stderr, source), region_of(area, (size[0], size[1]))


def _computed(
    server: ServerOptions,
    which: ModelOptions,
    chosen: MapsOptions,
    computed: Given[InfluenceTask],
    area: Area,
) -> tuple[Maps, NDArray[np.float64]]:
    """Compute the maps of a layer, and make the region of the model's image."""
    with opened(server) as client:
        model = chosen_model(client, which.model)
        # Before maps are computed, which takes a while.
        where = region_of(area, (model.image.height, model.image.width))
        result = cast(InfluenceResult, compute(client, wanted_maps(model, chosen, computed, ())))
    stderr = result.stderr if np.isfinite(result.stderr).all() else None
    return (result.maps, stderr, result.source), where


def _grafted(
    server: ServerOptions,
    chosen: MapsOptions,
    computed: Given[InfluenceTask],
    found: FoundChannels,
    labels: NDArray[np.int64] | None,
    where: NDArray[np.float64],
    count: int,
) -> Grafted:
    """Graft what was found into pairs that did not find it.

    Raises:
        InputError: If the maps do not say their model.
    """
    if found.source is None:
        raise InputError(
            f"{chosen.maps} does not say its model, whose hybrids --graft is to make: leave it out"
        )
    with opened(server) as client:
        if chosen.maps is None:
            pairs = pairs_after(client, found.source.model, chosen.originals, computed, count)
        else:
            pairs = pairs_after_file(chosen.maps, count)
        return graft_found(client, found, found.source, labels, where, pairs)


def _nothing(found: FoundChannels) -> str:
    """Say why no channel was found: the best one, and what it lacks."""
    best = found.ranked[0]
    score = found.contrast.score[best]
    if np.isnan(score):
        return "no channel is found: all maps are zero"
    told = f"no channel is found: the highest score is {score:.2f}, of channel {best}"
    if not found.contrast.certain[best]:
        return f"{told}, which is not certain to be above 1; more --pairs may tell"
    lower = f"{np.floor(10 * score) / 10:.1f}"
    return f"{told}; lower ones are found with --at-least {lower}"


def _draw(found: FoundChannels, picture: Path) -> None:
    # matplotlib is for the verbs that draw figures.
    from graftscope.client.figures import figure_png, region_figure

    channels = np.array(found.channels)
    write_bytes(picture, figure_png(region_figure(found.maps, channels, found.region)))


def _tell(
    found: FoundChannels, modules: Contrast | None, grafts: Grafted | None, out: Path | None
) -> None:
    of = "" if found.source is None else f" of {found.source}"
    count = len(found.channels)
    say(
        f"{count} of {counted(len(found.labels), 'channel')}{of} act inside the region"
        f"{written(out)}"
    )
    last = max(at for at, channel in enumerate(found.ranked) if channel in set(found.channels))
    shown = found.ranked[: max(SHOWN, last + 1)]
    say(_ranking("channel", found.contrast, shown, found.channels))
    if modules is not None:
        say("")
        say(_ranking("module", modules, modules.ranked().tolist(), None))
    if grafts is not None:
        tell_grafts(grafts)


def _ranking(
    unit: str, compared: Contrast, ranked: Sequence[int], found: Collection[int] | None
) -> RenderableType:
    """A table, the highest score first; which are found where that is asked."""
    rows = [
        (
            index,
            _score(compared.score[index]),
            f"{compared.inside[index]:.4g}",
            f"{compared.outside[index]:.4g}",
            told_share(compared.spill[index], compared.spill_stderr[index]),
            *([] if found is None else ["yes" if index in found else "no"]),
        )
        for index in ranked
    ]
    last = [] if found is None else ["found"]
    return table((unit, "inside / outside", "inside", "outside", "spill, %", *last), rows)


def _score(score: float) -> str:
    return "-" if np.isnan(score) else f"{score:.2f}"


def _image_size(client: Client, source: Source) -> tuple[int, int]:
    """Ask a server for the size (H, W) of the images that stored maps are of.

    Raises:
        InputError: If it does not have the model, or has another version of it.
    """
    for model in client.models():
        if (model.name, model.digest) == (source.model, source.model_digest):
            return model.image.height, model.image.width
    raise InputError(
        f"a rectangle is in pixels of the image, but this server does not have {source}: name its"
        " bundle with --bundle, or give a mask"
    )
