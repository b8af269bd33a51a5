"""What was found of each layer to the report's values: results in, `ReportData` out.

It must not know how anything is computed, nor how a report is drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from graftscope.client.interventions import Edit, Intervention
from graftscope.client.models import Layer, Model
from graftscope.client.report._data import Consistency, LayerSection, Provenance, ReportData
from graftscope.client.report._found_worth import WorthFindings, layer_worth
from graftscope.client.values import (
    ConfidentLabels,
    HybridResult,
    InfluenceResult,
    ModulesResult,
    Samples,
    StabilityResult,
    told_precision,
)

INSIDE_PERCENTILE = 75.0
"""A pixel is inside a template from this percentile of it upwards: the threshold of section 3.3."""


def region_change(
    maps: NDArray[np.floating], templates: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compare how much modules change the picture inside and outside their templates.

    Args:
        maps: (K, H, W) influence maps of whole modules, in image units.
        templates: (K, H, W), in the same order.

    Returns:
        (K, 2) mean of each map, in image units: inside the template (its highest quarter of
        pixels) and outside. NaN where a flat template has no inside.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if maps.ndim != 3 or maps.shape != templates.shape:
        raise ValueError(
            f"maps have shape {maps.shape}, templates {templates.shape}: both must be (K, H, W)"
        )
    changes = maps.astype(np.float64)
    inside = [_inside(template) for template in templates]
    return np.array(
        [
            [_mean(change[mask]), _mean(change[~mask])]
            for change, mask in zip(changes, inside, strict=True)
        ]
    ).reshape(-1, 2)


def _inside(template: NDArray[np.floating]) -> NDArray[np.bool_]:
    # Where many pixels share the threshold they are all inside, but never the lowest ones.
    high = template >= np.percentile(template, INSIDE_PERCENTILE)
    inside: NDArray[np.bool_] = high & (template > template.min())
    return inside


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")


@dataclass(frozen=True, eq=False)
class LayerFindings:
    """What was found of one layer.

    Args:
        layer: Which.
        influence: Maps of its channels.
        modules: Modules of those maps.
        stability: Of those modules; None where too few channels could tell.
        check: Maps of the modules that have channels; None where none has.
        fresh_pairs: Whether `check` is of other pairs than `influence`.
        hybrids: Of each module, with or without channels, the same pairs each.
        worth: What the modules are worth; None where that was not asked.
    """

    layer: Layer
    influence: InfluenceResult
    modules: ModulesResult
    stability: StabilityResult | None
    check: InfluenceResult | None
    fresh_pairs: bool
    hybrids: tuple[HybridResult, ...]
    worth: WorthFindings | None = None


def report_data(
    model: Model,
    samples: Samples,
    found: list[LayerFindings],
    *,
    seed: int,
    command: str,
    run_time_s: float,
) -> ReportData:
    """Put together what a report shows.

    Args:
        model: Which generator.
        samples: Of it.
        found: Of each layer, at least one, in the order of the page.
        seed: Of the pairs and the samples.
        command: The command line, for the page.
        run_time_s: Seconds the analyses took.

    Returns:
        The report's values.
    """
    influence = found[0].influence
    precision = influence.execution.precision
    return ReportData(
        title=f"The modules of {model.name}",
        model=model.name,
        digest=influence.execution.model_digest,
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        command=command,
        provenance=_provenance(model),
        samples=samples.images,
        image_range=model.image.range,
        seed=seed,
        precision=precision.kind if precision else "a precision that is not known",
        provider=influence.execution.provider,
        # Each layer has a plan of its own.
        rewrites=tuple(
            dict.fromkeys(name for each in found for name in each.influence.execution.rewrites)
        ),
        deviations=tuple(_deviations(found)),
        stratified=influence.stratified,
        originals=_originals(influence),
        run_time_s=run_time_s,
        warnings=tuple(_warnings(found)),
        sections=tuple(_section(each) for each in found),
    )


def _deviations(found: list[LayerFindings]) -> Iterator[str]:
    """How far each layer's maps are from float32, where they are not exactly that."""
    for each in found:
        told = told_precision(each.influence)
        if told:
            yield f"{each.layer.level or each.layer.name}: {told}"


def _section(found: LayerFindings) -> LayerSection:
    influence, modules, first = found.influence, found.modules, found.hybrids[0]
    maps, individual, stderr = _of_modules(found)
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
        pairs_of=influence.pairs_of,
        channel_indices=influence.channels,
        method=modules.method or "",
        seeds=modules.seeds,
        labels=modules.seed_labels,
        templates=modules.seed_templates,
        weights=modules.weights,
        probabilities=modules.probabilities,
        agreement=modules.agreement,
        original1=first.original1,
        original2=first.original2,
        hybrids=np.stack([each.hybrid for each in found.hybrids]),
        module_maps=maps,
        module_individual=individual,
        module_individual_stderr=stderr,
        check_pairs=0 if found.check is None else found.check.pairs,
        fresh_pairs=found.fresh_pairs,
        change=region_change(maps, modules.templates),
        consistency=_consistency(found.stability),
        interventions=tuple(_intervention(found, module) for module in range(len(maps))),
        confidence_unknown=modules.confidence_unknown,
        until_sure=_until_sure(influence),
        worth=None if found.worth is None else layer_worth(found.worth),
    )


def _until_sure(influence: InfluenceResult) -> bool:
    """Whether channels stopped one by one, each as soon as its module was sure."""
    stopping = influence.stopping
    return stopping is not None and isinstance(stopping.until, ConfidentLabels)


def _intervention(found: LayerFindings, module: int) -> str:
    """What grafting a module assigns, as JSON; nothing for a module without channels."""
    channels = found.influence.channels[found.modules.labels == module].tolist()
    return Intervention([Edit(found.layer.name, channels)]).to_json() if channels else ""


def _consistency(found: StabilityResult | None) -> Consistency | None:
    """The one number of modules that was asked for; None where no run settled."""
    if found is None or not found.settled[0, 0]:
        return None
    return Consistency(
        mean=float(found.consistency_mean[0, 0]),
        deviation=float(found.consistency_sd[0, 0]),
        chance=float(found.chance[0, 0]),
        partitions=int(found.settled[0, 0]),
    )


def _of_modules(
    found: LayerFindings,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Maps (K, H, W), individual influence (K,) and its standard error (K,) of all modules."""
    maps = np.zeros(found.modules.templates.shape)
    # A module without channels is not in the check; it grafts nothing, so it changes nothing.
    individual, stderr = np.zeros(len(maps)), np.zeros(len(maps))
    if found.check is not None:
        present = found.check.channels
        maps[present] = found.check.maps
        individual[present] = found.check.individual
        stderr[present] = found.check.individual_stderr
    return maps, individual, stderr


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


def _warnings(found: list[LayerFindings]) -> list[str]:
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
