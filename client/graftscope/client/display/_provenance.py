"""Where a value came from, in words: which model, layer and pairs, what computed it, which job."""

import math
from functools import singledispatch

from graftscope.client.arrays import SHOWN_DIGITS, Source
from graftscope.client.comparing import Comparison
from graftscope.client.finding import FoundChannels
from graftscope.client.models import Model
from graftscope.client.values import (
    Execution,
    FaithfulnessResult,
    HybridFiles,
    HybridResult,
    IndependenceResult,
    InfluenceResult,
    LayersResult,
    MagnitudeResult,
    Module,
    ModulesResult,
    PartialResult,
    Posterior,
    ProbeResult,
    ReachResult,
    SampleFiles,
    Samples,
    StabilityResult,
    Strip,
    told_pairs,
    told_stop,
)
from graftscope.client.words import counted, duration

Told = dict[str, str]


@singledispatch
def provenance_of(value: object) -> Told:
    """Tell where a value came from; of what says nothing of it, nothing."""
    return {}


@provenance_of.register
def _of_influence(value: InfluenceResult) -> Told:
    subject = value.subject.removesuffix("s") or "map"
    seed = "" if value.seed is None else f", seed {value.seed}, from pair {value.first}"
    spread = ", stratified" if value.stratified else ""
    corrected = f", {counted(value.corrected_pairs, 'pair')} corrected by float32"
    return {
        **_model(value.model, value.execution),
        "layer": value.layer,
        "pairs": f"{told_pairs(value.pairs_of, subject)}{seed}{spread}",
        "originals": _originals(value.originals, value.distinct_images),
        **_named("stopped", told_stop(value) or ""),
        "computed": _execution(value.execution) + (corrected if value.corrected_pairs else ""),
        **_job(value.operation, value.took_s),
    }


@provenance_of.register
def _of_layers(value: LayersResult) -> Told:
    first = next(iter(value.layers.values()))
    return {**provenance_of(first), "layer": ", ".join(value.layers)}


@provenance_of.register
def _of_modules(value: ModulesResult) -> Told:
    seeds = ", ".join(map(str, value.seeds[:8])) + (", …" if len(value.seeds) > 8 else "")
    method = value.method.value if value.method else "not said"
    return {
        **_source(value.source),
        "method": f"{method}, seed {seeds}" if seeds else method,
        **_job(value.operation, value.took_s),
    }


@provenance_of.register
def _of_module(value: Module) -> Told:
    return _source(value.source)


@provenance_of.register
def _of_comparison(value: Comparison) -> Told:
    sources = {"A": value.source_a, "B": value.source_b}
    return {
        name: "given templates" if each is None else str(each) for name, each in sources.items()
    }


@provenance_of.register
def _of_stability(value: StabilityResult) -> Told:
    taking = f", {counted(value.channels, 'channel')}" if value.channels else ""
    return {
        **_source(value.source),
        "cuts": f"{counted(value.repeats, 'cut')} into thirds{taking}",
        **_job(value.operation, value.took_s),
    }


@provenance_of.register
def _of_magnitude(value: MagnitudeResult) -> Told:
    method = value.method.value if value.method else "not said"
    return {
        **_model(value.model, value.execution),
        "layers": ", ".join(value.layers),
        "pairs": f"{value.pairs:,} that found the modules, and as many that measured them",
        "originals": _originals(value.originals, value.distinct_images),
        "method": method,
        "computed": _execution(value.execution),
        **_job(value.operation, value.took_s),
    }


@provenance_of.register
def _of_independence(value: IndependenceResult) -> Told:
    return {
        **_model(value.model, value.execution),
        "layer": value.layer,
        "pairs": f"{value.pairs:,}, and as many others for the samples",
        "originals": _originals(value.originals, value.distinct_images),
        "compared by": f"{counted(value.feature_count, 'feature')} of {value.features}",
        "computed": _execution(value.execution),
        **_job(value.operation, value.took_s),
    }


@provenance_of.register
def _of_reach(value: ReachResult) -> Told:
    return {
        **_model(value.model, value.execution),
        "layers": ", ".join(value.layers),
        "pairs": f"{value.ranking_pairs:,} that ranked, and {value.held_out_pairs:,} others that"
        " measured",
        "originals": _originals(value.originals, value.distinct_images),
        "computed": _execution(value.execution),
        **_job(value.operation, value.took_s),
    }


@provenance_of.register
def _of_probe(value: ProbeResult) -> Told:
    return {
        **_model(value.model, value.execution),
        "layer": value.layer,
        "pairs": f"{value.pairs:,}",
        "originals": _originals(value.originals, value.distinct_images),
        "asked": ", ".join(each.name for each in value.classifiers),
        "computed": _execution(value.execution),
        **_job(value.operation, value.took_s),
    }


@provenance_of.register
def _of_faithfulness(value: FaithfulnessResult) -> Told:
    images = f", and {counted(value.images, 'real image')}" if value.images else ""
    return {
        **_model(value.model, value.execution),
        "layer": value.layer,
        "pairs": f"{value.pairs:,}, and as many others for the samples{images}",
        "originals": _originals(value.originals, value.distinct_images),
        "compared by": f"{counted(value.feature_count, 'feature')} of {value.features}",
        "computed": _execution(value.execution),
        **_job(value.operation, value.took_s),
    }


@provenance_of.register(Samples)
@provenance_of.register(SampleFiles)
@provenance_of.register(Posterior)
def _of_images(value: Samples | SampleFiles | Posterior) -> Told:
    return {**_model(value.model, value.execution), "computed": _execution(value.execution)}


@provenance_of.register(HybridResult)
@provenance_of.register(HybridFiles)
@provenance_of.register(Strip)
def _of_hybrids(value: HybridResult | HybridFiles | Strip) -> Told:
    real = value.distinct_images
    return {
        **_model(value.model, value.execution),
        **_named("intervention", value.intervention if isinstance(value, Strip) else ""),
        **_named("originals", f"{counted(real, 'real image')}" if real else ""),
        "computed": _execution(value.execution),
    }


@provenance_of.register
def _of_found(value: FoundChannels) -> Told:
    return _source(value.source)


@provenance_of.register
def _of_partial(value: PartialResult) -> Told:
    return provenance_of(value.influence)


@provenance_of.register
def _of_model(value: Model) -> Told:
    return {"model": versioned(value.name, value.digest)}


def versioned(name: str, digest: str) -> str:
    """Name a model and the beginning of its digest, as whoever asks for that version writes it."""
    name = name.partition("@")[0]
    return f"{name}@{digest[:SHOWN_DIGITS]}" if digest else name


def _model(name: str, execution: Execution) -> Told:
    return _named("model", versioned(name, execution.model_digest))


def _source(source: Source | None) -> Told:
    if source is None:
        return {"maps": "arrays that were given"}
    partial = " (partial: not all pairs)" if source.is_partial else ""
    return {
        **_named("model", versioned(source.model, source.model_digest)),
        **_named("layer", source.layer),
        **_named("maps", f"{source.operation}{partial}" if source.operation else ""),
    }


def _originals(kind: str, distinct_images: int) -> str:
    images = f", {counted(distinct_images, 'different real image')}" if distinct_images else ""
    return f"{kind.replace('_', ' ') or 'not said'}{images}"


def _execution(execution: Execution) -> str:
    if execution.precision is None:
        return "not said"
    provider = execution.provider.removesuffix("ExecutionProvider")
    rewrites = f", rewritten by {', '.join(execution.rewrites)}" if execution.rewrites else ""
    distance = f"; {execution.deviation}" if execution.deviation else ""
    return f"in {execution.precision.kind} on {provider}{rewrites}{distance}"


def _job(operation: str, took_s: float) -> Told:
    took = f", took {duration(took_s)}" if math.isfinite(took_s) else ""
    return {"job": f"{operation}{took}"} if operation else {}


def _named(name: str, words: str) -> Told:
    return {name: words} if words else {}
