"""The verb hybridize."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from graftscope.client._client import Client
from graftscope.client.arrays import write_bytes
from graftscope.client.cli._documents import head
from graftscope.client.cli._interventions import (
    InterveneOption,
    SaveInterventionOption,
    meant_intervention,
    refuse_beside_intervene,
)
from graftscope.client.cli._model_and_layer import chosen_model
from graftscope.client.cli._output import say, say_json, tell_how, written
from graftscope.client.cli._regions import image_region, parse_area, region_option
from graftscope.client.cli._request_options import As, Given, Offer
from graftscope.client.cli._samples import check_pictures, saved, tell_images
from graftscope.client.cli._session import (
    check_target,
    chosen_originals,
    image_pairs,
    opened,
)
from graftscope.client.cli._shared_options import (
    CHANNELS,
    ChannelOptions,
    JsonOption,
    ModelOptions,
    ModulesLayerOption,
    OriginalsOptions,
    PictureOption,
    ServerOptions,
)
from graftscope.client.cli._spilled import Spilled
from graftscope.client.cli._strip import tell_strip, write_strip
from graftscope.client.errors import UsageError
from graftscope.client.interventions import Intervention
from graftscope.client.models import ImageFormat, Model
from graftscope.client.values import (
    PAIRS,
    PICTURES,
    HybridFiles,
    HybridResult,
    HybridsTask,
    Strip,
    StripTask,
    lacks_second,
)
from graftscope.client.words import counted

Asked = Annotated[
    Given[HybridsTask],
    Offer(changed={"pairs": As(help="How many pairs, at least 1. Default: 8.")}),
]
Strengths = Annotated[Given[StripTask], Offer(only=("strengths",))]
Image1Option = Annotated[
    Path | None,
    typer.Option(
        "--image1",
        metavar="PATH",
        help="Original 1, passed through the encoder: an image, or a folder or zip, in order of "
        "names.",
        rich_help_panel=PAIRS,
    ),
]
Image2Option = Annotated[
    Path | None,
    typer.Option(
        "--image2",
        metavar="PATH",
        help="Original 2, as many images as --image1. Not needed if --intervene takes nothing "
        "from original 2.",
        rich_help_panel=PAIRS,
    ),
]
SpillOption = Annotated[
    str | None, region_option("Say which share of the change falls outside this region: ", CHANNELS)
]
ModuleOption = Annotated[
    int | None,
    typer.Option(
        "--module",
        metavar="J",
        help="Which module of --modules, counted from 0.",
        rich_help_panel=CHANNELS,
    ),
]


def hybridize(
    server: ServerOptions,
    which: ModelOptions,
    chosen: ChannelOptions,
    originals: OriginalsOptions,
    asked: Asked,
    strip: Strengths,
    layer: ModulesLayerOption = None,
    module: ModuleOption = None,
    region: SpillOption = None,
    intervene: InterveneOption = None,
    save_intervention: SaveInterventionOption = None,
    image1: Image1Option = None,
    image2: Image2Option = None,
    out: PictureOption = None,
    json: JsonOption = False,
) -> None:
    """Make hybrids: original 1 with some channels' values from original 2, or from elsewhere.

    Name the channels with --channels, which may be empty, or with --modules and --module. Or
    describe the whole intervention with --intervene FILE.json:

    {"edits": [{"layer": "coarse", "channels": {"indices": [3, 7]}, "scale": {"factor": 2}}]}

    An edit has one of the actions "swap": {}, "constant": {"scalar": 0}, "constant":
    {"prior_mean": {}}, "scale": {"factor": 2}, "add": {"scalar": 1}, "blend": {"weight": 0.5}; and
    it may have a "mask": {"rectangle": {"top": 0, "left": 0, "height": 4, "width": 8}} or
    {"array": "FILE.png"}. Swap and blend take values of original 2, or
    else of what they name: {"image": "FILE.jpg"} or {"latents": {"inputs": {"z": "FILE.npz"}}}.
    """
    strengths = strip.said.get("strengths")
    _check_target(asked, strengths, region, out)
    area = None if region is None else parse_area(region)
    check_target(save_intervention, ".json", option="--save-intervention")
    if intervene is not None:
        refuse_beside_intervene(chosen, layer, module)
    given = None if intervene is None else Intervention.load(intervene)
    with opened(server) as client:
        model, intervention = _chosen(client, which.model, given, chosen, layer, module)
        inside = None if area is None else image_region(area, model.image)
        tell_images(model, 3 * asked["pairs"] * len(strengths or (1,)))
        takes = intervention.takes_original2
        drawn = image_pairs(image1, image2, originals, asked, model, takes) or chosen_originals(
            originals, model, asked, takes_second=takes
        )
        said = {"intervention": intervention, "originals": drawn, **asked.values}
        made = (
            client.hybridize(model.name, **said)
            if strengths is None
            else client.strip(model.name, **said, strengths=strengths)
        )
    if save_intervention:
        intervention.spelled_out().save(save_intervention)
    if isinstance(made, HybridFiles):
        _tell_files(model, intervention, made, saved(made, out), save_intervention, json)
        return
    spilled = None if inside is None else Spilled.of(made, inside)
    if isinstance(made, Strip):
        write_strip(made, out, spilled)
        tell_strip(model, intervention, made, out, save_intervention, spilled, json)
    else:
        _write_hybrids(made, out, model.image, spilled, without_second=lacks_second(drawn))
        _tell(model, intervention, made, out, save_intervention, spilled, json)


def _chosen(
    client: Client,
    name: str | None,
    given: Intervention | None,
    chosen: ChannelOptions,
    layer: str | None,
    module: int | None,
) -> tuple[Model, Intervention]:
    """Find the model and what is assigned: as given, or as the other options mean."""
    if given is None:
        return meant_intervention(client, name, chosen, layer, module)
    model = chosen_model(client, name)
    return model, given.fitted(model)


def _tell(
    model: Model,
    intervention: Intervention,
    result: HybridResult,
    out: Path | None,
    saved: Path | None,
    spilled: Spilled | None,
    json: bool,
) -> None:
    low, high = model.image.range
    change = float(np.abs(result.hybrid - result.original1).mean()) / (high - low)
    clipped = None if result.edited is None else result.clipped
    at = ", ".join(intervention.layers)
    if json:
        facts = {
            "layer": at,
            "intervention": str(intervention),
            "pairs": len(result.hybrid),
            "change_share": change,
            **({} if spilled is None else spilled.facts()),
            "out": out,
            "saved_intervention": saved,
            **({} if clipped is None else {"clipped_share": clipped}),
        }
        say_json({**head(model, result.execution), **facts})
        return
    say(
        f"{counted(len(result.hybrid), 'hybrid')} of {model.name} at {at}, on average"
        f" {change:.2%} of the range away from original 1{written(out)}"
    )
    if spilled:
        spilled.tell()
    if clipped is not None:
        say(_edited(model, clipped))
    tell_how(result.execution)
    if saved:
        say(f"{intervention}{written(saved)}")


def _edited(model: Model, clipped: float) -> str:
    low, high = model.image.range
    return (
        f"edited photographs: photograph 1 + (hybrid - original 1), {clipped:.2%} of the values"
        f" clipped to [{low:g}, {high:g}]"
    )


def _tell_files(
    model: Model,
    intervention: Intervention,
    files: HybridFiles,
    written_files: Mapping[str, object],
    saved_intervention: Path | None,
    json: bool,
) -> None:
    at = ", ".join(intervention.layers)
    count, out = len(files.hybrid), written_files["out"]
    if json:
        facts = {"layer": at, "intervention": str(intervention), "pairs": count, **written_files}
        kept: dict[str, object] = {"saved_intervention": saved_intervention}
        kept |= {} if files.edited is None else {"clipped_share": files.clipped}
        say_json({**head(model, files.execution), **facts, **kept})
        return
    say(f"{counted(count, 'hybrid')} of {model.name} at {at}, with both originals -> {out}")
    if files.edited is not None:
        say(_edited(model, files.clipped))
    tell_how(files.execution)
    if saved_intervention:
        say(f"{intervention}{written(saved_intervention)}")


def _check_target(
    asked: Given[HybridsTask],
    strengths: Sequence[float] | None,
    region: str | None,
    out: Path | None,
) -> None:
    if region is not None and asked["encoding"] is not None:
        raise UsageError(
            "--region measures hybrids before they are rounded to 8 bits: leave out --encoding"
        )
    if strengths is None:
        check_pictures(asked["encoding"], out)
        return
    if asked["encoding"] is not None:
        raise UsageError(
            "--strength makes one picture, --encoding one file for each image: leave out one of "
            "them"
        )
    check_target(out, ".npz", *PICTURES)


def _write_hybrids(
    result: HybridResult,
    out: Path | None,
    image: ImageFormat,
    spilled: Spilled | None,
    *,
    without_second: bool,
) -> None:
    if out and out.suffix == ".png":
        # Pillow takes a while to import.
        from graftscope.client.pictures import image_grid_png

        rows = {
            "photograph 1": result.photograph1,
            "original 1": result.original1,
            "original 2": None if without_second else result.original2,
            "hybrid": result.hybrid,
            "edited photograph": result.edited,
        }
        drawn = {label: images for label, images in rows.items() if images is not None}
        picture = image_grid_png(list(drawn.values()), list(drawn), image_range=image.range)
        write_bytes(out, picture)
    elif out and spilled:
        spilled.save(result, out)
    elif out:
        result.save(out)
