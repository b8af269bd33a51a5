"""The verb faithfulness."""

from pathlib import Path
from typing import Annotated, cast

import typer

from graftscope.client.cli._documents import document_of
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._model_and_layer import chosen_place
from graftscope.client.cli._output import note, say, say_json, table, written
from graftscope.client.cli._request_options import Given
from graftscope.client.cli._session import (
    check_target,
    named_originals,
    opened,
    some_pictures,
)
from graftscope.client.cli._shared_options import (
    DryRunOption,
    JsonOption,
    ModelOptions,
    NpzOption,
    OriginalsOption,
    SeedOption,
    ServerOptions,
)
from graftscope.client.cli._worth_options import (
    COMPARED,
    FeaturesOption,
    ModulesOptions,
    OfModules,
    task_of_modules,
)
from graftscope.client.values import (
    FAITHFULNESS_COLUMNS,
    FaithfulnessResult,
    FaithfulnessRow,
    FaithfulnessTask,
    rows_beside,
    rows_of_modules,
    told_faithfulness,
    told_reference,
    told_verdicts,
)
from graftscope.client.words import with_spread

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Real images, to compare with them too: a folder or zip; at most as many as --pairs "
        "are taken, at random.",
        rich_help_panel=COMPARED,
    ),
]


def faithfulness(
    server: ServerOptions,
    which: ModelOptions,
    chosen: ModulesOptions,
    asked: Given[FaithfulnessTask],
    originals: OriginalsOption = None,
    data: DataOption = None,
    features: FeaturesOption = None,
    seed: SeedOption = None,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Find out whether modules' hybrids look like samples, and like real images.

    Hybrids of each module are compared with samples of other pairs by what a network sees in them.
    The floor is what as many samples differ by chance; ceilings are two originals that are mixed
    in pixels, which cannot be right. A module is more faithful than random sets of channels if its
    Fréchet distance is below the mean of theirs by more than two standard errors.
    """
    check_target(out, ".npz")
    asked = asked.unless_said(seed=seed, draws=seed)
    with opened(server) as client:
        place = chosen_place(client, which.model, chosen.layer, chosen.modules)
        model, _ = place
        taken = None if data is None else some_pictures(data, model, asked["pairs"], seed or 0)

        def asking(of: OfModules) -> FaithfulnessTask:
            return asked(
                model=model.name,
                layer=of.layer,
                labels=of.labels,
                individual=of.individual,
                templates=of.templates,
                data=taken,
                features=features,
                originals=named_originals(originals, model),
            )

        task = task_of_modules(client, place, chosen, asking, originals, seed, dry_run=dry_run)
        if dry_run:
            tell_dry_run(client, [task], json)
            return
        result = cast(FaithfulnessResult, compute(client, task))
    if out:
        result.save(out)
    if json:
        say_json({**document_of(result), "out": out})
    else:
        _tell(result, out)


def _tell(result: FaithfulnessResult, out: Path | None) -> None:
    say(f"{told_faithfulness(result)}{written(out)}")
    for place, name in enumerate(result.references):
        floor, *beside = rows_beside(result, place)
        rows = [floor, *rows_of_modules(result, place), *beside]
        heads = (f"against {told_reference(name)}", "channels", *FAITHFULNESS_COLUMNS)
        say(table(heads, [_cells(row) for row in rows]))
    for sentence in told_verdicts(result):
        say(sentence)
    if result.warning:
        note(result.warning)


def _cells(row: FaithfulnessRow) -> tuple[str, ...]:
    digits = (2, 2, 1, 3, 3, 2, 3)
    told = [with_spread(*x, digits=d) for x, d in zip(row.numbers, digits, strict=True)]
    return row.name, str(row.channels or "-"), *told
