"""The verb probe."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, cast

import typer

from graftscope.client.arrays import Flag, Real, Several, Whole, write_bytes
from graftscope.client.cli._documents import document_of
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._model_and_layer import chosen_place
from graftscope.client.cli._output import note, say, say_json, table, written
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
from graftscope.client.cli._worth_options import ModulesOptions, OfModules, task_of_modules
from graftscope.client.display import (
    PROBE_COLUMNS,
    PROBE_PARTS,
    probe_heading,
    probe_notes,
    probe_parts,
    probe_rows,
)
from graftscope.client.errors import UsageError
from graftscope.client.values import (
    ImageNetwork,
    Layout,
    Preprocessing,
    ProbeResult,
    ProbeTask,
)
from graftscope.client.words import counted

_TAKEN = "How classifiers take images"
"""The heading of what is said of files' preprocessing."""

ClassifierOption = Annotated[
    list[str] | None,
    typer.Option(
        "--classifier",
        metavar="FILE.onnx|NAME",
        help="A classifier: an ONNX file with its weights inside, or one that the server brings "
        "(cifar10, celeba); may be repeated. Default: the one that suits the model.",
    ),
]


PictureOption = Annotated[
    Path | None,
    typer.Option("--picture", metavar="FILE.png", help="Draw whose class the hybrids have."),
]


@dataclass(frozen=True)
class TakenOptions:
    """How files of classifiers take images, where the files themselves do not say it."""

    size: Annotated[
        int | None,
        Whole(1, 4096),
        Flag("--size", "PIXELS", "Images are resized to so many pixels a side.", _TAKEN),
    ] = None
    low: Annotated[
        float | None,
        Real(-1e6, 1e6),
        Flag("--low", "X", "What black becomes. Default: 0.", _TAKEN),
    ] = None
    high: Annotated[
        float | None,
        Real(-1e6, 1e6),
        Flag("--high", "X", "What white becomes. Default: 1.", _TAKEN),
    ] = None
    mean: Annotated[
        Sequence[float] | None,
        Several(Real(-1e6, 1e6)),
        Flag("--mean", "R,G,B", "Subtracted from each colour.", _TAKEN),
    ] = None
    deviation: Annotated[
        Sequence[float] | None,
        Several(Real(0, 1e6, inside=True)),
        Flag("--deviation", "R,G,B", "What each colour is divided by then.", _TAKEN),
    ] = None
    attributes: Annotated[
        bool,
        typer.Option(
            "--attributes",
            help="Scores are of attributes, of which an image has any number.",
            rich_help_panel=_TAKEN,
        ),
    ] = False
    nhwc: Annotated[
        bool,
        typer.Option(
            "--nhwc",
            help="Images are (B, H, W, C), as TensorFlow has them.",
            rich_help_panel=_TAKEN,
        ),
    ] = False
    bgr: Annotated[
        bool, typer.Option("--bgr", help="Blue comes first.", rich_help_panel=_TAKEN)
    ] = False


def probe(
    server: ServerOptions,
    which: ModelOptions,
    modules: ModulesOptions,
    asked: Given[ProbeTask],
    taken: TakenOptions,
    classifier: ClassifierOption = None,
    originals: OriginalsOption = None,
    picture: PictureOption = None,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Ask classifiers about modules' hybrids: does their class stay, become the other, or neither?

    A hybrid is original 1 with a module of original 2. If its class stays original 1's, the
    classifier does not mind what the module draws. Beside each module are random sets of as many
    channels. --classifier may be repeated, to compare several.
    """
    check_target(out, ".npz")
    check_drawing(picture, "--picture")
    networks = _networks(classifier or (), taken)
    with opened(server) as client:
        seed = asked.said.get("seed")
        place = chosen_place(client, which.model, modules.layer, modules.modules)

        def asking(of: OfModules) -> ProbeTask:
            return asked(
                model=of.model.name,
                layer=of.layer,
                labels=of.labels,
                classifiers=networks or None,
                draws=asked["seed"],
                originals=named_originals(originals, of.model),
            )

        task = task_of_modules(client, place, modules, asking, originals, seed, dry_run=dry_run)
        if dry_run:
            tell_dry_run(client, [task], json)
            return
        result = cast(ProbeResult, compute(client, task))
    if out:
        result.save(out)
    if picture:
        # Only what draws imports matplotlib.
        from graftscope.client.figures import figure_png

        write_bytes(picture, figure_png(result.plot()))
    if json:
        say_json({**document_of(result), "out": out, "picture": picture})
    else:
        _tell(result, out)


def _networks(named: Sequence[str], taken: TakenOptions) -> list[ImageNetwork]:
    """The classifiers; what is said of preprocessing is of every file."""
    said = taken != TakenOptions()
    stated = replace(taken, attributes=False) != TakenOptions()
    preprocessing = _preprocessing(taken) if stated else None
    networks = [ImageNetwork.named(each) for each in named]
    files = [each for each in networks if each.file is not None]
    if said and not files:
        raise UsageError(
            "how a classifier takes images is said of files, --classifier FILE.onnx; those of the"
            " server know it"
        )
    return [
        replace(each, preprocessing=preprocessing, attributes=taken.attributes)
        if each.file is not None
        else each
        for each in networks
    ]


def _preprocessing(taken: TakenOptions) -> Preprocessing:
    return Preprocessing(
        height=taken.size or 0,
        width=taken.size or 0,
        low=0.0 if taken.low is None else taken.low,
        high=1.0 if taken.high is None else taken.high,
        mean=taken.mean,
        deviation=taken.deviation,
        layout=Layout.NHWC if taken.nhwc else Layout.NCHW,
        bgr=taken.bgr,
    )


def _tell(result: ProbeResult, out: Path | None) -> None:
    say(
        f"{counted(len(result.modules), 'module')} of layer {result.layer} of {result.model},"
        f" {counted(result.pairs, 'pair')} ({result.originals}){written(out)}"
    )
    say("hybrids are original 1 with what is swapped taken from original 2; whose class have they?")
    for at in range(len(result.classifiers)):
        say(probe_heading(result, at))
        say(table(PROBE_COLUMNS, probe_rows(result, at)))
        for line in probe_notes(result, at):
            say(line)
        columns, rows = probe_parts(result, at)
        if rows:
            say(f"{PROBE_PARTS}:")
            say(table(columns, rows))
    note(
        "in brackets: Wilson's intervals of 95 %; of random sets the lowest and the highest."
        " entropy: mean ± standard error"
    )
