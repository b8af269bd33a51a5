"""Gathers what a report shows: a client in, `ReportData` out.

It must not know how a report is drawn, nor how progress is shown.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.errors import UsageError
from graftscope.client.models import Layer, Model
from graftscope.client.report import LayerFindings, ReportData, WorthFindings, report_data
from graftscope.client.values import (
    AnalysisResult,
    FaithfulnessResult,
    FaithfulnessTask,
    HybridResult,
    ImagePairs,
    IndependenceResult,
    IndependenceTask,
    InfluenceResult,
    InfluenceTask,
    Job,
    LatentPairs,
    Method,
    ModulesResult,
    ModulesTask,
    StabilityResult,
    StabilityTask,
    Task,
)

CHECK_PAIRS = 200
"""At most so many further pairs measure the modules: three hybrids a pair are soon made."""

WORTH_PAIRS = 512
"""Hybrids of each set that is compared with samples."""

DEFAULT_LEVELS = ("coarse", "intermediate")


class Analyst(Protocol):
    """Computes what takes its time, and says meanwhile how far it is."""

    def begin(self, task: Task) -> Job:
        """Start a job, or find the one that answers the same."""

    def result(self, job: Job) -> AnalysisResult:
        """Wait for it."""


@dataclass(frozen=True, eq=False)
class ReportPlan:
    """What goes into a report.

    Args:
        layers: Layers' or levels' names, in the order of the page.
        maps: The influence maps of one of them: of which pairs, how precise, until when. The
            further pairs, which measure modules, are independent and all used, whatever is said
            of these.
        k: Number of modules, K.
        method: How they are found.
        seeds: Of the grouping; the first one is shown and grafted.
        shown_pairs: Pairs in the grid of hybrids, B.
        samples: Samples shown, N.
        command: The command line, for the page.
        maps_before: Maps that were computed before, by their layers' names.
        modules_before: Modules that were found in those, likewise.
        worth: Whether it is measured what modules are worth.
    """

    layers: tuple[str, ...]
    maps: InfluenceTask
    k: int = 3
    method: Method = Method.NMF
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    shown_pairs: int = 8
    samples: int = 24
    command: str = ""
    maps_before: Mapping[str, InfluenceResult] = field(default_factory=dict)
    modules_before: Mapping[str, ModulesResult] = field(default_factory=dict)
    worth: bool = False

    def influence_task(self, model: Model, layer: Layer) -> InfluenceTask:
        """Make the task of one layer's influence maps."""
        return replace(self.maps, model=model.name, layer=layer.name)

    def influence_tasks(self, model: Model) -> tuple[InfluenceTask, ...]:
        """Make the tasks of all layers, in the order of the page.

        Raises:
            InputError: If the model lacks one of the layers.
        """
        return tuple(self.influence_task(model, model.layer(name)) for name in self.layers)

    def drawn(self, wanted: int) -> int:
        """How many pairs to ask for where so many are wanted: those that are given are all used."""
        originals = self.maps.originals
        return len(originals) if isinstance(originals, LatentPairs | ImagePairs) else wanted

    @property
    def gives_pairs(self) -> bool:
        """Whether the pairs are given one by one, so that there are no further ones."""
        return isinstance(self.maps.originals, LatentPairs | ImagePairs)


def default_layers(model: Model) -> tuple[str, ...]:
    """Choose the coarse and the intermediate layer.

    Raises:
        UsageError: If the model has no levels.
    """
    levels = {layer.level for layer in model.layers}
    found = tuple(level for level in DEFAULT_LEVELS if level in levels)
    if not found:
        raise UsageError(
            f"say which layers with --layer NAME; model {model.name!r} has: {model.layer_names()}"
        )
    return found


def gather(
    client: Client, model: Model, plan: ReportPlan, analyst: Analyst, say: Callable[[str], None]
) -> ReportData:
    """Ask for everything that a report shows.

    Args:
        client: The server's.
        model: Which generator.
        plan: What goes into the report.
        analyst: Computes the analyses.
        say: Hears of each step before it is done.

    Returns:
        The report's values.
    """
    start_s = time.monotonic()
    influences = _Influences(model, plan, analyst)
    say(f"samples of {model.name}")
    maps = plan.maps
    samples = client.generate(
        model.name,
        count=plan.drawn(plan.samples),
        seed=maps.seed,
        originals=maps.originals,
        fix=maps.fix,
        precision=maps.precision,
    )
    found = [
        _layer(client, model.layer(name), name, influences.of(name, say), plan, analyst, say)
        for name in plan.layers
    ]
    return report_data(
        model,
        samples,
        found,
        seed=maps.seed,
        command=plan.command,
        run_time_s=time.monotonic() - start_s,
    )


class _Influences:
    """Each layer's maps; while one layer is worked on, the next one's are computed."""

    def __init__(self, model: Model, plan: ReportPlan, analyst: Analyst) -> None:
        self._model, self._plan, self._analyst = model, plan, analyst
        wanted = (model.layer(name) for name in plan.layers)
        self._jobs = (
            analyst.begin(plan.influence_task(model, layer))
            for layer in wanted
            if layer.name not in plan.maps_before
        )
        self._next = next(self._jobs, None)

    def of(self, name: str, say: Callable[[str], None]) -> InfluenceResult:
        """Give a layer's, in the plan's order."""
        layer, maps = self._model.layer(name), self._plan.maps
        before = self._plan.maps_before.get(layer.name)
        if before is not None or self._next is None:
            return cast(InfluenceResult, before)
        most = "at most " if maps.until else ""
        spread = "stratified pairs" if maps.stratified else "pairs"
        say(
            f"{name} layer: influence maps of {layer.channels} channels over"
            f" {most}{maps.pairs:,} {spread}"
        )
        found = self._analyst.result(self._next)
        self._next = next(self._jobs, None)
        return cast(InfluenceResult, found)


def _layer(
    client: Client,
    layer: Layer,
    name: str,
    influence: InfluenceResult,
    plan: ReportPlan,
    analyst: Analyst,
    say: Callable[[str], None],
) -> LayerFindings:
    modules = plan.modules_before.get(layer.name)
    if modules is None:
        say(f"{name} layer: {plan.k} modules, with {len(plan.seeds)} seeds")
        task = ModulesTask(
            influence.maps,
            k=plan.k,
            method=plan.method,
            seeds=plan.seeds,
            groups=influence.groups,
        )
        modules = cast(ModulesResult, analyst.result(analyst.begin(task)))
    # Neither needs the other: hybrids are made while modules are compared.
    comparing, measuring = (
        None if task is None else analyst.begin(task)
        for task in (_stability(influence, modules), _check(layer, plan, influence, modules))
    )
    say(f"{name} layer: how far the modules depend on which channels they are found in")
    compared = None if comparing is None else analyst.result(comparing)
    say(f"{name} layer: each whole module, over further pairs")
    measured = None if measuring is None else analyst.result(measuring)
    worth = _worth(layer, plan, influence, modules, analyst, say) if plan.worth else None
    say(f"{name} layer: hybrids of each module")
    hybrids = _hybrids(client, layer, plan, influence, modules)
    return LayerFindings(
        layer,
        influence,
        modules,
        cast("StabilityResult | None", compared),
        cast("InfluenceResult | None", measured),
        not plan.gives_pairs,
        hybrids,
        worth,
    )


def _worth(
    layer: Layer,
    plan: ReportPlan,
    influence: InfluenceResult,
    modules: ModulesResult,
    analyst: Analyst,
    say: Callable[[str], None],
) -> WorthFindings | None:
    """What the modules are worth, on pairs that had no part in finding them."""
    labels = _spread(layer, influence, modules)
    if labels.max() < 0:
        return None
    maps = plan.maps
    asked: dict[str, Any] = {
        "model": influence.model,
        "layer": layer.name,
        "labels": labels,
        "pairs": plan.drawn(WORTH_PAIRS),
        "seed": maps.seed,
        "first": 0 if plan.gives_pairs else maps.first + influence.pairs,
        "originals": maps.originals,
        "share": maps.share,
        "fix": maps.fix,
    }
    say(f"{layer.level or layer.name} layer: what its modules are worth")
    jobs = [analyst.begin(kind(**asked)) for kind in (FaithfulnessTask, IndependenceTask)]
    faithful, independent = (analyst.result(job) for job in jobs)
    return WorthFindings(cast(FaithfulnessResult, faithful), cast(IndependenceResult, independent))


def _spread(
    layer: Layer, influence: InfluenceResult, modules: ModulesResult
) -> NDArray[np.integer]:
    """(C,) labels of every channel of the layer, -1 for those that were not looked at."""
    labels = np.full(layer.channels, -1)
    labels[influence.channels] = modules.labels
    return labels


def _stability(influence: InfluenceResult, modules: ModulesResult) -> StabilityTask | None:
    """Stability at this number of modules, where two thirds of the channels have so many."""
    k, channels = modules.k, int(np.count_nonzero(modules.labels >= 0))
    if k < 2 or channels < 3 or k > channels - -(-channels // 3) or modules.method is None:
        return None
    return StabilityTask(influence.maps, ks=(k,), methods=(modules.method,), seed=modules.seeds[0])


def _check(
    layer: Layer, plan: ReportPlan, influence: InfluenceResult, modules: ModulesResult
) -> InfluenceTask | None:
    """Maps of whole modules, over pairs that had no part in finding them."""
    labels = _spread(layer, influence, modules)
    if labels.max() < 0:
        return None
    return replace(
        plan.maps,
        model=influence.model,
        layer=layer.name,
        labels=labels,
        # Given pairs are all there are: then the modules are measured on them again.
        pairs=plan.drawn(min(plan.maps.pairs, CHECK_PAIRS)),
        first=0 if plan.gives_pairs else plan.maps.first + influence.pairs,
        stratified=False,
        until=None,
    )


def _hybrids(
    client: Client,
    layer: Layer,
    plan: ReportPlan,
    influence: InfluenceResult,
    modules: ModulesResult,
) -> tuple[HybridResult, ...]:
    return tuple(
        # Not by labels: a module without channels is no module to the server, but shows here.
        client.hybridize(
            influence.model,
            layer.name,
            influence.channels[modules.labels == module].tolist(),
            pairs=plan.drawn(plan.shown_pairs),
            seed=plan.maps.seed,
            originals=plan.maps.originals,
            share=plan.maps.share,
            fix=plan.maps.fix,
            precision=plan.maps.precision,
        )
        for module in range(modules.k)
    )
