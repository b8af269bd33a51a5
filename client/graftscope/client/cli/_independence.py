"""The verb independence."""

from pathlib import Path
from typing import cast

from graftscope.client.cli._documents import document_of
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._model_and_layer import chosen_place
from graftscope.client.cli._output import note, say, say_json, table, written
from graftscope.client.cli._request_options import Given
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
from graftscope.client.cli._worth_options import (
    FeaturesOption,
    ModulesOptions,
    OfModules,
    task_of_modules,
)
from graftscope.client.values import (
    IndependenceResult,
    IndependenceTask,
    independence_tables,
    told_independence,
)


def independence(
    server: ServerOptions,
    which: ModelOptions,
    chosen: ModulesOptions,
    asked: Given[IndependenceTask],
    originals: OriginalsOption = None,
    features: FeaturesOption = None,
    seed: SeedOption = None,
    dry_run: DryRunOption = False,
    out: NpzOption = None,
    json: JsonOption = False,
) -> None:
    """Find out whether modules act by themselves, and where they say.

    Mixture: does a hybrid stay as real if every module comes from another donor? Interaction: is
    the effect of two modules the sum of their effects? Spill: how much of a module's change falls
    outside of its own template? Spectral ratio: do the kernels between layers know the maps that
    they read? Every number has a standard error; --out also writes where modules interact.
    """
    check_target(out, ".npz")
    asked = asked.unless_said(seed=seed)
    with opened(server) as client:
        place = chosen_place(client, which.model, chosen.layer, chosen.modules)

        def asking(of: OfModules) -> IndependenceTask:
            return asked(
                model=of.model.name,
                layer=of.layer,
                labels=of.labels,
                templates=of.templates,
                features=features,
                originals=named_originals(originals, of.model),
            )

        task = task_of_modules(client, place, chosen, asking, originals, seed, dry_run=dry_run)
        if dry_run:
            tell_dry_run(client, [task], json)
            return
        result = cast(IndependenceResult, compute(client, task))
    if out:
        result.save(out)
    if json:
        say_json({**document_of(result), "out": out})
    else:
        _tell(result, out)


def _tell(result: IndependenceResult, out: Path | None) -> None:
    say(f"{told_independence(result)}{written(out)}")
    for each in independence_tables(result):
        say("")
        say(each.means)
        say(table(each.heads, each.rows))
    if result.warning:
        note(result.warning)
