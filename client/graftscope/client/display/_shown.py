"""Which card shows which value: the one list of what notebooks show."""

from collections.abc import Callable, Mapping
from typing import Any

from graftscope.client.comparing import Comparison
from graftscope.client.display._cards import Card
from graftscope.client.display._of_analyses import found_card, magnitude_card, stability_card
from graftscope.client.display._of_faithfulness import faithfulness_card
from graftscope.client.display._of_images import (
    explored_card,
    hybrids_card,
    posterior_card,
    samples_card,
    strip_card,
)
from graftscope.client.display._of_independence import independence_card
from graftscope.client.display._of_influence import influence_card, layers_card, small_maps_card
from graftscope.client.display._of_jobs import job_card, partial_card, so_far_card
from graftscope.client.display._of_models import intervention_card, model_card
from graftscope.client.display._of_modules import (
    comparison_card,
    layer_modules_card,
    module_card,
    modules_card,
    modules_so_far_card,
)
from graftscope.client.display._of_probe import probe_card
from graftscope.client.display._of_worth import reach_card
from graftscope.client.finding import FoundChannels
from graftscope.client.interventions import Intervention
from graftscope.client.models import Model
from graftscope.client.values import (
    Explored,
    FaithfulnessResult,
    HybridFiles,
    HybridResult,
    IndependenceResult,
    InfluenceResult,
    Job,
    LayerModules,
    LayersResult,
    MagnitudeResult,
    Module,
    ModulesResult,
    ModulesSoFar,
    PartialMaps,
    PartialResult,
    Posterior,
    ProbeResult,
    ReachResult,
    SampleFiles,
    Samples,
    SoFar,
    StabilityResult,
    Strip,
)

CARDS: Mapping[type, Callable[[Any], Card]] = {
    Comparison: comparison_card,
    Explored: explored_card,
    FaithfulnessResult: faithfulness_card,
    FoundChannels: found_card,
    HybridFiles: hybrids_card,
    HybridResult: hybrids_card,
    IndependenceResult: independence_card,
    InfluenceResult: influence_card,
    Intervention: intervention_card,
    Job: job_card,
    LayerModules: layer_modules_card,
    LayersResult: layers_card,
    MagnitudeResult: magnitude_card,
    Model: model_card,
    Module: module_card,
    ModulesResult: modules_card,
    ModulesSoFar: modules_so_far_card,
    PartialMaps: small_maps_card,
    PartialResult: partial_card,
    Posterior: posterior_card,
    ReachResult: reach_card,
    ProbeResult: probe_card,
    SampleFiles: samples_card,
    Samples: samples_card,
    SoFar: so_far_card,
    StabilityResult: stability_card,
    Strip: strip_card,
}


def html_of(value: object) -> str:
    """Give what a notebook shows of a value: HTML of less than `MOST_BYTES`.

    Args:
        value: Of one of the kinds of `CARDS`.
    """
    kind = next(kind for kind in type(value).__mro__ if kind in CARDS)
    return CARDS[kind](value).to_html()
