"""Gathers what a report shows: a client in, `ReportData` out.

It must not know how a report is drawn, nor how progress is shown.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from graftscope.client._client import Client
from graftscope.client._execution import Precision
from graftscope.client._findings import LayerFindings, report_data
from graftscope.client._fixed import Fixed
from graftscope.client._models import Layer, Model
from graftscope.client._originals import ImagePairs, LatentPairs, Originals
from graftscope.client._results import HybridResult, InfluenceResult, ModulesResult
from graftscope.client._sweeps import StabilityResult
from graftscope.client._tasks import InfluenceTask, Method, ModulesTask, StabilityTask
from graftscope.client.errors import UsageError
from graftscope.client.report import ReportData

CHECK_PAIRS = 200
"""At most so many further pairs measure the modules: three hybrids a pair are soon made."""

DEFAULT_LEVELS = ("coarse", "intermediate")


class Analyst(Protocol):
    """Computes what takes its time, and says meanwhile how far it is."""

    def influence(self, task: InfluenceTask) -> InfluenceResult:
        """Compute influence maps."""

    def modules(self, task: ModulesTask) -> ModulesResult:
        """Find modules."""

    def stability(self, task: StabilityTask) -> StabilityResult:
        """Compare modules of overlapping thirds."""


@dataclass(frozen=True, eq=False)
class ReportPlan:
    """What goes into a report.

    Args:
        layers: Layers' or levels' names, in the order of the page.
        pairs: Pairs of originals behind each influence map.
        seed: Of the pairs and the samples.
        originals: Where they come from; None for the model's default.
        share: Names of inputs of which original 2 takes original 1's value.
        fix: Values of inputs that are the same in every sample.
        precision: Of maps, samples and hybrids.
        stratified: Whether the pairs of the channels' maps are spread evenly over the latents; the
            further ones, which measure modules, are independent in any case.
        k: Number of modules, K.
        method: How they are found.
        seeds: Of the grouping; the first one is shown and grafted.
        shown_pairs: Pairs in the grid of hybrids, B.
        samples: Samples shown, N.
        command: The command line, for the page.
    """

    layers: tuple[str, ...]
    pairs: int = 1000
    seed: int = 0
    originals: Originals | None = None
    share: tuple[str, ...] = ()
    fix: Fixed | None = None
    precision: Precision = Precision.FP32
    stratified: bool = False
    k: int = 3
    method: Method = Method.NMF
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    shown_pairs: int = 8
    samples: int = 24
    command: str = ""

    def influence_task(self, model: Model, layer: Layer) -> InfluenceTask:
        """Make the task of one layer's influence maps."""
        return InfluenceTask(
            model=model.name,
            layer=layer.name,
            pairs=self.pairs,
            seed=self.seed,
            originals=self.originals,
            share=self.share,
            fix=self.fix,
            precision=self.precision,
            stratified=self.stratified,
        )

    def influence_tasks(self, model: Model) -> tuple[InfluenceTask, ...]:
        """Make the tasks of all layers, in the order of the page.

        Raises:
            InputError: If the model lacks one of the layers.
        """
        return tuple(self.influence_task(model, model.layer(name)) for name in self.layers)


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
    say(f"samples of {model.name}")
    samples = client.generate(
        model.name,
        count=plan.samples,
        seed=plan.seed,
        originals=plan.originals,
        fix=plan.fix,
        precision=plan.precision,
    )
    found = [_layer(client, model, name, plan, analyst, say) for name in plan.layers]
    return report_data(
        model,
        samples,
        found,
        seed=plan.seed,
        command=plan.command,
        run_time_s=time.monotonic() - start_s,
    )


def _layer(
    client: Client,
    model: Model,
    name: str,
    plan: ReportPlan,
    analyst: Analyst,
    say: Callable[[str], None],
) -> LayerFindings:
    layer = model.layer(name)
    say(f"{name} layer: influence maps of {layer.channels} channels over {plan.pairs:,} pairs")
    influence = analyst.influence(plan.influence_task(model, layer))
    say(f"{name} layer: {plan.k} modules, with {len(plan.seeds)} seeds")
    modules = analyst.modules(
        ModulesTask(influence.maps, k=plan.k, method=plan.method, seeds=plan.seeds)
    )
    say(f"{name} layer: how far the modules depend on which channels they are found in")
    stability = _stability(plan, influence, modules, analyst)
    say(f"{name} layer: each whole module, over further pairs")
    check = _check(layer, plan, influence, modules, analyst)
    say(f"{name} layer: hybrids of each module")
    hybrids = _hybrids(client, layer, plan, influence, modules)
    return LayerFindings(layer, influence, modules, stability, check, not _given(plan), hybrids)


def _stability(
    plan: ReportPlan, influence: InfluenceResult, modules: ModulesResult, analyst: Analyst
) -> StabilityResult | None:
    """Stability at the plan's number of modules, where two thirds of the channels have so many."""
    channels = int(np.count_nonzero(modules.labels >= 0))
    if plan.k < 2 or channels < 3 or plan.k > channels - -(-channels // 3):
        return None
    return analyst.stability(
        StabilityTask(influence.maps, ks=(plan.k,), methods=(plan.method,), seed=plan.seeds[0])
    )


def _check(
    layer: Layer,
    plan: ReportPlan,
    influence: InfluenceResult,
    modules: ModulesResult,
    analyst: Analyst,
) -> InfluenceResult | None:
    """Maps of whole modules, over pairs that had no part in finding them."""
    labels = np.full(layer.channels, -1)
    labels[influence.channels] = modules.labels
    if labels.max() < 0:
        return None
    return analyst.influence(
        InfluenceTask(
            model=influence.model,
            layer=layer.name,
            labels=labels,
            pairs=min(plan.pairs, CHECK_PAIRS),
            seed=plan.seed,
            # Given pairs are all there are: then the modules are measured on them again.
            first=0 if _given(plan) else plan.pairs,
            originals=plan.originals,
            share=plan.share,
            fix=plan.fix,
            precision=plan.precision,
        )
    )


def _given(plan: ReportPlan) -> bool:
    return isinstance(plan.originals, LatentPairs | ImagePairs)


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
            pairs=plan.shown_pairs,
            seed=plan.seed,
            originals=plan.originals,
            share=plan.share,
            fix=plan.fix,
            precision=plan.precision,
        )
        for module in range(plan.k)
    )
