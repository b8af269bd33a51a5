"""Which of the project's figures draws which value.

matplotlib is imported when a figure is made: without it, `ReportExtraError` names what to install.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graftscope.client.comparing import Comparison
from graftscope.client.display._images import pictured
from graftscope.client.display._of_influence import strongest
from graftscope.client.errors import InputError
from graftscope.client.figures import (
    comparison_figure,
    gallery_figure,
    pairs_figure,
    paper,
    region_figure,
    samples_figure,
    templates_figure,
)
from graftscope.client.finding import FoundChannels
from graftscope.client.values import (
    SURE,
    HybridFiles,
    HybridResult,
    InfluenceResult,
    LayersResult,
    MagnitudeResult,
    ModulesResult,
    PartialResult,
    ProbeResult,
    ReachResult,
    Regression,
    SampleFiles,
    Samples,
    StabilityResult,
    Strip,
)
from graftscope.client.words import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EXAMPLES = 8
_SAMPLES = 36
_PAIRS = 6


def figure_of(value: object, labels: NDArray[np.integer] | None = None) -> "Figure":
    """Draw a value.

    Args:
        value: One of the kinds of `FIGURES`.
        labels: Of influence maps the (C,) module of each channel; None where not known.

    Raises:
        InputError: If there is nothing to draw: no channel was found in a region.
        ReportExtraError: If matplotlib is not installed.
    """
    if isinstance(value, InfluenceResult):
        return _gallery(value, labels)
    return FIGURES[type(value)](value)


def _gallery(value: InfluenceResult, labels: NDArray[np.integer] | None = None) -> "Figure":
    if labels is None and value.subject == "modules":
        labels = value.channels
    return gallery_figure(value.maps, labels, value.individual, value.channels)


def _layers(value: LayersResult) -> "Figure":
    levels = []
    for name, each in value.layers.items():
        some = strongest(each.individual)[:_EXAMPLES]
        maps = each.maps[some] / each.range_width
        share = each.individual_share[some]
        levels.append(
            paper.LevelExamples(name, each.channels[some], maps, share, len(each.channels))
        )
    return paper.influence_examples(paper.InfluenceExamples(levels))


def _modules(value: ModulesResult) -> "Figure":
    # A comparison with NaN is false: where nothing is known of it, nothing is told.
    sure = None if value.confidence_unknown else value.confidence >= SURE
    return templates_figure(value.templates, value.labels, sure)


def _stability(value: StabilityResult) -> "Figure":
    layer = value.source.layer if value.source else "given maps"
    return paper.stability(
        paper.Stability(
            [
                paper.LayerStability(
                    level=layer,
                    k=value.k,
                    methods=[method.value for method in value.methods],
                    consistency=value.consistency,
                    cosine=value.cosine,
                    chance=value.chance,
                    suggested=np.array([each.k for each in value.suggested]),
                )
            ]
        )
    )


def _magnitude(value: MagnitudeResult) -> "Figure":
    layers = [
        _layer(value, name, value.by_channels[place], paper.PLACES[place % len(paper.PLACES)])
        for place, name in enumerate(value.layers)
    ]
    return paper.magnitude(paper.Magnitude(layers, _line(value.by_share[-1], value.range_width)))


def _layer(
    value: MagnitudeResult, name: str, line: Regression, mark: paper.Mark
) -> paper.LayerMagnitude:
    of = value.layer == name
    errors = value.individual_stderr[of] / value.range_width
    # Of a module's channels and its share of the layer's follows how many the layer has.
    largest = int(np.argmax(np.where(of, value.share, -1.0)))
    total = round(value.channels[largest] / (value.share[largest] or 1.0))
    return paper.LayerMagnitude(
        level=name,
        total=total,
        k=value.k[of],
        channels=value.channels[of],
        individual=paper.ErrorBars(value.individual_share[of], errors),
        on_channels=_line(line, value.range_width),
        mark=mark._replace(name=name),
    )


def _line(line: Regression, width: float) -> paper.Line:
    return paper.Line(line.slope / width, line.intercept / width, line.r2)


def reach_target(value: ReachResult) -> paper.ReachTarget:
    """Give what a figure draws of one target; `paper.reach` takes several."""
    curves = [
        paper.ReachCurve(
            name,
            int(value.units[row]),
            paper.ErrorBars(value.share[row], value.share_stderr[row]),
            paper.ErrorBars(value.random[row], value.random_stderr[row]),
        )
        for row, name in enumerate(value.kinds)
    ]
    return paper.ReachTarget(value.target, curves)


def _reach(value: ReachResult) -> "Figure":
    return paper.reach(paper.Reach([reach_target(value)]))


def probe_bars(value: ProbeResult) -> list[paper.ProbeBars]:
    """Give what a figure draws of each classifier: modules, each above its random sets."""
    return [
        paper.ProbeBars(asked.name, list(_bars_of(value, at)))
        for at, asked in enumerate(value.classifiers)
    ]


def _bars_of(value: ProbeResult, classifier: int) -> Iterator[paper.ProbeBar]:
    stays, becomes = value.stays[classifier], value.becomes[classifier]
    low, high = value.stays_low[classifier], value.stays_high[classifier]
    for module in value.modules:
        (at,) = value.places("module", module)
        ends = float(low[at]), float(high[at])
        yield paper.ProbeBar(f"module {module}", stays[at], becomes[at], *ends, module)
        if not (controls := value.places("count", module)):
            continue
        ends = float(stays[controls].min()), float(stays[controls].max())
        name = counted(len(controls), "random set")
        yield paper.ProbeBar(name, stays[controls].mean(), becomes[controls].mean(), *ends)


def _probe(value: ProbeResult) -> "Figure":
    return paper.probe(probe_bars(value))


def _samples(value: Samples | SampleFiles) -> "Figure":
    found = pictured(value, _SAMPLES)
    return samples_figure(found.rows["sample"], found.image_range)


def _hybrids(value: HybridResult | HybridFiles) -> "Figure":
    found = pictured(value, _PAIRS)
    changes = np.abs(found.rows["hybrid"] - found.rows["original 1"]).mean(axis=1)
    return pairs_figure(found.rows, found.image_range, changes=changes)


def _strip(value: Strip) -> "Figure":
    found = pictured(value, _PAIRS)
    return pairs_figure(found.rows, found.image_range)


def _found(value: FoundChannels) -> "Figure":
    if not value.channels:
        raise InputError("no channel was found in the region: there is nothing to draw")
    return region_figure(value.maps, np.array(value.channels, np.int64), value.region)


def _partial(value: PartialResult) -> "Figure":
    whole = value.influence
    if isinstance(whole, LayersResult):
        return _layers(whole)
    found = value.modules.get(whole.layer)
    return _gallery(whole, None if found is None else found.labels)


def _comparison(value: Comparison) -> "Figure":
    names = [
        "given templates" if each is None else str(each)
        for each in (value.source_a, value.source_b)
    ]
    return comparison_figure(
        value.templates_a,
        value.templates_b,
        value.pairs,
        value.cosine,
        value.overlap,
        (names[0], names[1]),
    )


FIGURES: Mapping[type, Callable[[Any], "Figure"]] = {
    Comparison: _comparison,
    FoundChannels: _found,
    HybridFiles: _hybrids,
    HybridResult: _hybrids,
    InfluenceResult: _gallery,
    LayersResult: _layers,
    MagnitudeResult: _magnitude,
    ModulesResult: _modules,
    PartialResult: _partial,
    ProbeResult: _probe,
    ReachResult: _reach,
    SampleFiles: _samples,
    Samples: _samples,
    StabilityResult: _stability,
    Strip: _strip,
}
