"""What `--json` prints of each analysis. Maps, templates and weights are for `--out`."""

from graftscope.client._finding import FoundChannels
from graftscope.client._layers import LayersResult
from graftscope.client._regions import Contrast
from graftscope.client._results import InfluenceResult, ModulesResult, Stopping
from graftscope.client._sources import Source
from graftscope.client._sweeps import AnalysisResult, MagnitudeResult, StabilityResult
from graftscope.client.cli._samples import how


def document_of(result: AnalysisResult) -> dict[str, object]:
    """Make the document of any analysis."""
    match result:
        case InfluenceResult():
            return influence_document(result)
        case LayersResult():
            return {"layers": [influence_document(each) for each in result.layers.values()]}
        case ModulesResult():
            return modules_document(result)
        case StabilityResult():
            return stability_document(result)
        case MagnitudeResult():
            return magnitude_document(result)


def influence_document(result: InfluenceResult) -> dict[str, object]:
    """Make the document of influence maps."""
    return {
        "operation": result.operation,
        "model": result.model,
        "model_digest": result.execution.model_digest,
        "layer": result.layer,
        "originals": result.originals,
        "pairs": result.pairs,
        "stratified": result.stratified,
        "stopping": _stopping(result.stopping),
        "distinct_images": result.distinct_images,
        **how(result.execution),
        "range_width": result.range_width,
        "map_shape": result.maps.shape[1:],
        "products": result.products is not None,
        "channels": result.channels,
        "interventions": [str(each) for each in result.interventions],
        "individual": result.individual,
        "individual_stderr": result.individual_stderr,
    }


def _stopping(stopping: Stopping | None) -> dict[str, object] | None:
    return None if stopping is None else {**vars(stopping), "until": str(stopping.until)}


def modules_document(result: ModulesResult) -> dict[str, object]:
    """Make the document of modules."""
    return {
        "operation": result.operation,
        "source": _source(result.source),
        "k": len(result.templates),
        "method": result.method,
        "seeds": result.seeds,
        "labels": result.labels,
        "purity": result.purity,
        "impure": result.impure,
        "agreement": result.agreement,
        "cosine": result.cosine,
        "seeds_agreeing": result.seeds_agreeing,
    }


def stability_document(result: StabilityResult) -> dict[str, object]:
    """Make the document of stability: every repeat, and what repeats amount to."""
    return {
        "operation": result.operation,
        "source": _source(result.source),
        "channels": result.channels,
        "k": result.k,
        "methods": result.methods,
        "repeats": result.consistency.shape[2],
        "settled": result.settled,
        "consistency": result.consistency,
        "consistency_mean": result.consistency_mean,
        "consistency_sd": result.consistency_sd,
        "cosine": result.cosine,
        "cosine_mean": result.cosine_mean,
        "cosine_sd": result.cosine_sd,
        "chance": result.chance,
        "suggested": [vars(each) for each in result.suggested],
    }


def magnitude_document(result: MagnitudeResult) -> dict[str, object]:
    """Make the document of magnitude: its columns, a row a module, and its regressions."""
    columns = ("layer", "k", "module", "channels", "share", "individual", "individual_stderr")
    return {
        "operation": result.operation,
        "model": result.model,
        "model_digest": result.execution.model_digest,
        "layers": result.layers,
        "method": result.method,
        "originals": result.originals,
        "pairs": result.pairs,
        "distinct_images": result.distinct_images,
        **how(result.execution),
        "range_width": result.range_width,
        **{name: getattr(result, name) for name in columns},
        "by_share": [vars(each) for each in result.by_share],
        "by_channels": [vars(each) for each in result.by_channels],
    }


def found_document(found: FoundChannels, modules: Contrast | None) -> dict[str, object]:
    """Make the document of channels that act inside a region, and of modules where there are."""
    return {
        "source": _source(found.source),
        "channels": found.channels,
        "ranked": found.ranked,
        **_contrast(found.contrast),
        "modules": None if modules is None else _contrast(modules),
    }


def _contrast(compared: Contrast) -> dict[str, object]:
    return {
        "scores": compared.score,
        "inside": compared.inside,
        "outside": compared.outside,
        "certain": compared.certain,
    }


def _source(source: Source | None) -> object:
    return None if source is None else vars(source)
