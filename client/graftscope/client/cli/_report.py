"""Verbs that tell the whole story: report, demo."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graftscope.client._client import Client
from graftscope.client.arrays import UINT32_MAX, prepare_folder
from graftscope.client.calls import import_room, translated
from graftscope.client.cli._by_hand import Explorer, by_hand, explorer_words
from graftscope.client.cli._following import attend_told, tell_dry_run
from graftscope.client.cli._maps import check_k
from graftscope.client.cli._model_and_layer import SHIPPED_MODEL, chosen_model, model_of
from graftscope.client.cli._output import note, open_page, say, say_json
from graftscope.client.cli._report_given import (
    METHODS,
    Before,
    GivenOptions,
    check_originals,
    read_before,
    refuse_beside,
)
from graftscope.client.cli._request_options import As, Given, Offer
from graftscope.client.cli._session import chosen_originals, opened
from graftscope.client.cli._shared_options import (
    DryRunOption,
    JsonOption,
    LayersOption,
    ModelOptions,
    OpenOption,
    OriginalsOptions,
    SeedOption,
    ServerOptions,
)
from graftscope.client.cli._usual_pairs import USUAL_PAIRS, modules_of, rule_about, usual_pairs
from graftscope.client.errors import InputError, MissingExtraError, UsageError
from graftscope.client.models import Model
from graftscope.client.values import (
    AnalysisResult,
    Encoded,
    InfluenceTask,
    Job,
    ModulesAsked,
    ModulesTask,
    Prior,
    Task,
)
from graftscope.client.words import duration

if TYPE_CHECKING:
    from graftscope.client.cli._report_contents import ReportPlan
    from graftscope.client.report import ByHand, LayerSection

DEFAULT_FOLDER = Path("graftscope-report")

OutFolder = Annotated[
    Path,
    typer.Option(
        "--out", metavar="DIR", help="The folder for index.html and figures; made if missing."
    ),
]

WorthOption = Annotated[
    bool,
    typer.Option(
        "--worth",
        help="Measure also what the modules are worth: do their hybrids look real, do they act by "
        "themselves, and where their templates say? Each layer takes some 30 sets of 512 hybrids "
        "more.",
    ),
]


_Maps = Annotated[
    Given[InfluenceTask],
    Offer(
        without=("map_size", "products"),
        changed={
            "pairs": USUAL_PAIRS,
            "seed": As(
                "--pairs-seed", help="Decides only the pairs and the samples. Default: --seed."
            ),
        },
    ),
]
_Grouping = Annotated[
    Given[ModulesTask],
    Offer(
        only=("k", "method", "seeds"),
        changed={
            "k": As(help="How many modules, at least 1."),
            "method": As(metavar="|".join(METHODS), help="How channels are grouped."),
            "seeds": As(
                help="Seeds of the grouping only, with commas or by repeating the option: the "
                "first one is shown, the others show how much the modules depend on the "
                "seed. Default: --seed and the four that follow it.",
            ),
        },
    ),
]


def report(
    server: ServerOptions,
    which: ModelOptions,
    originals: OriginalsOptions,
    drawn: _Maps,
    grouping: _Grouping,
    files: GivenOptions,
    layers: LayersOption = None,
    seed: SeedOption = None,
    dry_run: DryRunOption = False,
    out: OutFolder = DEFAULT_FOLDER,
    explorer: Annotated[
        str | None,
        typer.Option(
            "--explorer",
            metavar="URL",
            help="The address of an explorer that is served already, such as "
            "https://lab.example:8642/: the report links every layer to it.",
        ),
    ] = None,
    worth: WorthOption = False,
    show: OpenOption = False,
    json: JsonOption = False,
) -> None:
    """Write a report that opens in a browser: samples, maps, modules and hybrids, explained.

    With --maps, and with --modules, it starts from what was computed before.
    """
    require_report()
    page = Explorer(explorer)
    if dry_run and show:
        raise UsageError("--dry-run writes no page: leave out --open")
    before = read_before(files)
    if before:
        refuse_beside(before, which.model, layers, dry_run, drawn, grouping)
    if not dry_run:
        prepare_folder(out)
    with opened(server) as client:
        grouping = grouping.unless_said(seeds=_seeds(seed or 0))
        if before:
            model = model_of(client, before.first.source, before.path)
            plan = _plan_from(before, model, originals, drawn, grouping)
        else:
            model = chosen_model(client, which.model)
            # Given pairs are not drawn: then the seed is of the grouping alone.
            drawn = drawn.unless_said(seed=seed if originals.latents1 is None else None)
            plan = _plan(model, originals, drawn, grouping, tuple(layers or ()))
        if dry_run:
            tell_dry_run(client, plan.influence_tasks(model), json)
            if worth:
                note("--worth is not in this estimate: what it costs depends on the modules")
            return
        plan = replace(plan, worth=worth)
        index = _write(
            client, model, plan, out, lambda data: by_hand(client, server, model, data, page)
        )
    if json:
        say_json({"report": index})
    else:
        say(str(index))
    if show:
        open_page(index)


def demo(
    dry_run: DryRunOption = False,
    out: OutFolder = DEFAULT_FOLDER,
    show: OpenOption = False,
    json: JsonOption = False,
) -> None:
    """Show what Graftscope does: a report on the generator that comes with it.

    Everything runs in this process and leaves a report that opens in a browser. Each channel gets
    pairs until it is sure which module it belongs to; `graftscope report --pairs 1000` gives
    every channel 1,000.
    """
    note("starting a server inside this process, with the generator that comes with the package")
    with translated("graftscope."):
        bundle = import_room("graftscope.bundle", "server").find_shipped(SHIPPED_MODEL)
    report(
        # Named, so that the demo happens here whatever server the environment names.
        server=ServerOptions(bundle=[bundle]),
        which=ModelOptions(),
        originals=OriginalsOptions(),
        drawn=Given(InfluenceTask),
        grouping=Given(ModulesTask),
        files=GivenOptions(),
        dry_run=dry_run,
        out=out,
        show=show,
        json=json,
    )
    if not dry_run:
        note(explorer_words())


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


def _seeds(first: int) -> tuple[int, ...]:
    """Five seeds of the grouping, after the largest the smallest again."""
    return tuple((first + i) % (UINT32_MAX + 1) for i in range(5))


def _plan(
    model: Model,
    originals: OriginalsOptions,
    drawn: Given[InfluenceTask],
    grouping: Given[ModulesTask],
    layers: tuple[str, ...],
) -> "ReportPlan":
    from graftscope.client.cli._report_contents import ReportPlan, default_layers

    chosen = layers or default_layers(model)
    _check_grouping(grouping, model, chosen)
    given = chosen_originals(originals, model, drawn)
    drawn = usual_pairs(drawn, grouping, given)
    return ReportPlan(
        layers=chosen,
        maps=drawn(
            model=model.name,
            layer=chosen[0],
            originals=given,
            until=rule_about(drawn, vars(modules_of(grouping))),
        ),
        k=grouping["k"],
        method=grouping["method"],
        seeds=grouping["seeds"],
        command=_command(),
    )


def _plan_from(
    before: Before,
    model: Model,
    originals: OriginalsOptions,
    drawn: Given[InfluenceTask],
    grouping: Given[ModulesTask],
) -> "ReportPlan":
    """Plan what is left to do of a report whose maps are known."""
    from graftscope.client.cli._report_contents import ReportPlan

    _check_grouping(grouping, model, [name for name in before.maps if name not in before.modules])
    given = chosen_originals(originals, model, drawn)
    check_originals(before, given)
    known = {"prior": Prior(), "encoded": Encoded()}.get(before.first.originals)
    return ReportPlan(
        layers=tuple(before.maps),
        maps=before.task(drawn, given or known),
        k=grouping["k"],
        method=grouping["method"],
        seeds=grouping["seeds"],
        command=_command(),
        maps_before=before.maps,
        modules_before=before.modules,
    )


def _check_grouping(grouping: Given[ModulesTask], model: Model, layers: Sequence[str]) -> None:
    if grouping["method"] not in METHODS:
        raise InputError(
            f"--method {str(grouping['method'])!r} is unknown; there are: {', '.join(METHODS)}"
        )
    for layer in layers:
        check_k(grouping["k"], model, layer)


def _command() -> str:
    return " ".join(["graftscope", *sys.argv[1:]])


def _write(
    client: Client,
    model: Model,
    plan: "ReportPlan",
    out: Path,
    ways: "Callable[[Sequence[LayerSection]], Mapping[str, ByHand]]",
) -> Path:
    # Other verbs, and --help, need not wait for what draws.
    from graftscope.client.cli._report_contents import gather
    from graftscope.client.report import render_report

    modules = ModulesAsked(plan.k, plan.method, plan.seeds[0])
    data = gather(client, model, plan, _Attending(client, modules), note)
    note(f"drawing the report, after {duration(data.run_time_s)} of work")
    with translated("graftscope."):
        return render_report(replace(data, by_hand=ways(data.sections)), out)


class _Attending:
    """Computes a report's analyses with their progress on standard error."""

    def __init__(self, client: Client, modules: ModulesAsked) -> None:
        self._client, self._modules = client, modules
        self._of_channels: set[str] = set()

    def begin(self, task: Task) -> Job:
        job = self._client.start(task)
        if isinstance(task, InfluenceTask) and task.is_of_channels:
            self._of_channels.add(job.name)
        return job

    def result(self, job: Job) -> AnalysisResult:
        # Whole modules are measured too, and those have no modules of their own.
        modules = self._modules if job.name in self._of_channels else None
        return attend_told(self._client, job, modules)
