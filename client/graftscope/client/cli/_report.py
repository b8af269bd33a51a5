"""Verbs that tell the whole story: report, demo."""

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from graftscope.client._client import Client
from graftscope.client._embedded import import_room, translated
from graftscope.client._execution import checked_precision
from graftscope.client._files import prepare_folder
from graftscope.client._models import Model
from graftscope.client._results import InfluenceResult, ModulesResult
from graftscope.client._sweeps import StabilityResult
from graftscope.client._tasks import InfluenceTask, Method, ModulesTask, StabilityTask
from graftscope.client.cli._conditions import parse_fix, parse_share
from graftscope.client.cli._following import compute, tell_dry_run
from graftscope.client.cli._grouping import check_k, parse_method, parse_numbers
from graftscope.client.cli._options import (
    DryRunOption,
    JsonOption,
    ModelOptions,
    PairOptions,
    PrecisionOption,
    ServerOptions,
    StratifiedOption,
    map_pairs,
)
from graftscope.client.cli._output import duration, note, say, say_json
from graftscope.client.cli._places import SHIPPED_MODEL, chosen_model
from graftscope.client.cli._session import chosen_originals, opened
from graftscope.client.errors import MissingExtraError

if TYPE_CHECKING:
    from graftscope.client._gather import ReportPlan

DEFAULT_FOLDER = Path("graftscope-report")

METHODS = (Method.NMF, Method.KMEANS)
"""A report explains templates, which say where channels act: methods that group by just that."""

OutFolder = Annotated[
    Path,
    typer.Option(
        "--out", metavar="DIR", help="The folder for index.html and figures; made if missing."
    ),
]


@dataclass(frozen=True)
class GroupingOptions:
    """How channels are grouped."""

    k: Annotated[int, typer.Option("--k", metavar="K", help="How many modules, at least 1.")] = 3
    method: Annotated[
        str, typer.Option("--method", metavar="nmf|kmeans", help="How channels are grouped.")
    ] = "nmf"
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds",
            metavar="S,S,...",
            help="Of the grouping: the first one is shown, the others tell how far the modules "
            "depend on it.",
        ),
    ] = "0,1,2,3,4"


def report(
    server: ServerOptions,
    which: ModelOptions,
    drawn: PairOptions,
    grouping: GroupingOptions,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="NAME",
            help="A layer's or a level's name; may be repeated. Default: coarse and intermediate, "
            "where the model has levels.",
        ),
    ] = None,
    stratified: StratifiedOption = False,
    precision: PrecisionOption = "fp32",
    dry_run: DryRunOption = False,
    out: OutFolder = DEFAULT_FOLDER,
    json: JsonOption = False,
) -> None:
    """Write a report that opens in a browser: samples, maps, modules and hybrids, explained."""
    require_report()
    if not dry_run:
        prepare_folder(out)
    with opened(server) as client:
        model = chosen_model(client, which.model)
        plan = _plan(model, drawn, grouping, tuple(layers or ()), precision, stratified)
        if dry_run:
            tell_dry_run(client, plan.influence_tasks(model), json)
            return
        index = _write(client, model, plan, out)
    if json:
        say_json({"report": index})
    else:
        say(str(index))


def demo(
    dry_run: DryRunOption = False, out: OutFolder = DEFAULT_FOLDER, json: JsonOption = False
) -> None:
    """Show what Graftscope does: a report on the generator that comes with it.

    Everything happens in this process, and a report stays that opens in a browser.
    """
    note("starting a server inside this process, with the generator that comes with the package")
    with translated("graftscope."):
        bundle = import_room("graftscope.bundle", "server").find_shipped(SHIPPED_MODEL)
    report(
        # Named, so that the demo happens here whatever server the environment names.
        server=ServerOptions(bundle=bundle),
        which=ModelOptions(),
        drawn=PairOptions(),
        grouping=GroupingOptions(),
        dry_run=dry_run,
        out=out,
        json=json,
    )


def require_report() -> None:
    """Refuse before the work, not after it, where figures cannot be drawn.

    Raises:
        MissingExtraError: If a library of the extra is not installed.
    """
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"a report needs {missing[0]}, which is not installed;"
            " install it with: pip install 'graftscope[report]'"
        )


def _plan(
    model: Model,
    drawn: PairOptions,
    grouping: GroupingOptions,
    layers: tuple[str, ...],
    precision: str,
    stratified: bool,
) -> "ReportPlan":
    # It is slow to import, and other verbs have no use for it.
    from graftscope.client._gather import ReportPlan, default_layers

    chosen = layers or default_layers(model)
    for layer in chosen:
        check_k(grouping.k, model, layer)
    return ReportPlan(
        layers=chosen,
        pairs=map_pairs(drawn.pairs, stratified),
        seed=drawn.seed,
        originals=chosen_originals(drawn, model),
        share=parse_share(drawn.share),
        fix=parse_fix(drawn.fix),
        precision=checked_precision(precision),
        stratified=stratified,
        k=grouping.k,
        method=parse_method(grouping.method, METHODS),
        seeds=parse_numbers("--seeds", grouping.seeds),
        command=" ".join(["graftscope", *sys.argv[1:]]),
    )


def _write(client: Client, model: Model, plan: "ReportPlan", out: Path) -> Path:
    from graftscope.client._gather import gather
    from graftscope.client.report import render_report

    data = gather(client, model, plan, _Attending(client), note)
    note(f"drawing the report, after {duration(data.run_time_s)} of work")
    with translated("graftscope."):
        return render_report(data, out)


@dataclass(frozen=True)
class _Attending:
    """Computes a report's analyses with their progress on standard error."""

    client: Client

    def influence(self, task: InfluenceTask) -> InfluenceResult:
        return cast(InfluenceResult, compute(self.client, task))

    def modules(self, task: ModulesTask) -> ModulesResult:
        return cast(ModulesResult, compute(self.client, task))

    def stability(self, task: StabilityTask) -> StabilityResult:
        return cast(StabilityResult, compute(self.client, task))
