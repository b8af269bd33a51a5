"""Gathers what a report shows: a client in, `ReportData` out.

It must not know how a report is drawn, nor how progress is shown.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client._jobs import InfluenceTask, Method, ModulesTask
from graftscope.client._models import Layer, Model
from graftscope.client._originals import Originals
from graftscope.client._results import (
    HybridResult,
    InfluenceResult,
    ModulesResult,
    Precision,
    Samples,
)
from graftscope.client.errors import UsageError
from graftscope.client.report import LayerSection, Provenance, ReportData, region_change

DEFAULT_LEVELS = ("coarse", "intermediate")

_PRECISIONS = {Precision.FP32: "float32", Precision.BF16: "bfloat16", Precision.FP16: "float16"}


class Analyst(Protocol):
    """Computes what takes its time, and says meanwhile how far it is."""

    def influence(self, task: InfluenceTask) -> InfluenceResult:
        """Compute influence maps."""

    def modules(self, task: ModulesTask) -> ModulesResult:
        """Find modules."""


@dataclass(frozen=True, eq=False)
class ReportPlan:
    """What goes into a report.

    Args:
        layers: Layers' or levels' names, in the order of the page.
        pairs: Pairs of originals behind each influence map.
        seed: Of the pairs and the samples.
        originals: Where they come from; None for the model's default.
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
    k: int = 3
    method: Method = Method.NMF
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    shown_pairs: int = 8
    samples: int = 24
    command: str = ""


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
        model.name, count=plan.samples, seed=plan.seed, originals=plan.originals
    )
    found = [_layer(client, model, name, plan, analyst, say) for name in plan.layers]
    return _data(model, plan, samples, found, time.monotonic() - start_s)


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found of one layer."""

    layer: Layer
    influence: InfluenceResult
    modules: ModulesResult
    hybrids: tuple[HybridResult, ...]


def _layer(
    client: Client,
    model: Model,
    name: str,
    plan: ReportPlan,
    analyst: Analyst,
    say: Callable[[str], None],
) -> _Found:
    layer = model.layer(name)
    say(f"{name} layer: influence maps of {layer.channels} channels over {plan.pairs:,} pairs")
    influence = analyst.influence(
        InfluenceTask(
            model=model.name,
            layer=layer.name,
            pairs=plan.pairs,
            seed=plan.seed,
            originals=plan.originals,
        )
    )
    say(f"{name} layer: {plan.k} modules, with {len(plan.seeds)} seeds")
    modules = analyst.modules(
        ModulesTask(influence.maps, k=plan.k, method=plan.method, seeds=plan.seeds)
    )
    say(f"{name} layer: hybrids of each module")
    hybrids = tuple(
        # Not by labels: a module without channels is no module to the server, but shows here.
        client.hybridize(
            model.name,
            layer.name,
            influence.channels[modules.labels == module].tolist(),
            pairs=plan.shown_pairs,
            seed=plan.seed,
            originals=plan.originals,
        )
        for module in range(plan.k)
    )
    return _Found(layer, influence, modules, hybrids)


def _section(found: _Found) -> LayerSection:
    influence, modules, first = found.influence, found.modules, found.hybrids[0]
    hybrids = np.stack([each.hybrid for each in found.hybrids])  # (K, B, c, H, W)
    return LayerSection(
        layer=found.layer.name,
        level=found.layer.level or None,
        channels=found.layer.channels,
        height=found.layer.height,
        width=found.layer.width,
        maps=influence.maps,
        maps_stderr=influence.stderr,
        individual=influence.individual,
        individual_stderr=influence.individual_stderr,
        channel_indices=influence.channels,
        method=modules.method.value,
        seeds=modules.seeds,
        labels=modules.seed_labels,
        templates=modules.seed_templates,
        weights=modules.weights,
        agreement=modules.agreement,
        original1=first.original1,
        original2=first.original2,
        hybrids=hybrids,
        change=region_change(first.original1, hybrids, modules.templates),
    )


def _data(
    model: Model, plan: ReportPlan, samples: Samples, found: list[_Found], run_time_s: float
) -> ReportData:
    influence = found[0].influence
    precision = influence.execution.precision
    return ReportData(
        title=f"The modules of {model.name}",
        model=model.name,
        digest=influence.execution.model_digest,
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        command=plan.command,
        provenance=_provenance(model),
        samples=samples.images,
        image_range=model.image.range,
        pairs=influence.pairs,
        seed=plan.seed,
        precision=_PRECISIONS.get(precision, precision.value),
        provider=influence.execution.provider,
        originals=_originals(influence),
        run_time_s=run_time_s,
        warnings=tuple(_warnings(found)),
        sections=tuple(_section(each) for each in found),
    )


def _provenance(model: Model) -> Provenance:
    stated = model.manifest.get("provenance")
    facts = stated if isinstance(stated, dict) else {}
    metrics = facts.get("metrics")
    return Provenance(
        recipe=str(facts.get("recipe", "")),
        data=str(facts.get("data", "")),
        licence=str(facts.get("licence", "")),
        metrics={
            name: float(value)
            for name, value in (metrics if isinstance(metrics, dict) else {}).items()
            if isinstance(value, int | float)
        },
    )


def _originals(influence: InfluenceResult) -> str:
    if influence.originals == "images":
        return f"{influence.distinct_images:,} different images"
    return influence.originals


def _warnings(found: list[_Found]) -> list[str]:
    """What a reader must know before trusting a number."""
    warnings = []
    for each in found:
        name, modules = each.layer.level or each.layer.name, each.modules
        flat = _listed(np.flatnonzero(modules.labels == -1), each.influence.channels)
        if flat:
            warnings.append(f"In the {name} layer the maps of channels {flat} are flat.")
        if modules.seeds_agreeing < len(modules.seeds):
            warnings.append(
                f"In the {name} layer the modules depend on the grouping's seed: only"
                f" {modules.seeds_agreeing} of {len(modules.seeds)} seeds agree with the first."
            )
    return warnings


def _listed(positions: NDArray[np.intp], channels: NDArray[np.int64]) -> str:
    return ", ".join(str(channel) for channel in channels[positions])
