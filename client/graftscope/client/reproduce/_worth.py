"""What modules are worth: are they faithful, do they act by themselves, and where they say; and how
much few channels reach, beside few latents (Definitions 2 to 4).

It is no figure of the paper: the paper defines what is measured here, and leaves it unmeasured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from graftscope.client.display import reach_target
from graftscope.client.figures import paper
from graftscope.client.reproduce._clustering import LEVEL
from graftscope.client.reproduce._faithful import (
    FoundLayer,
    answers_by_level,
    faithfulness_claims,
    faithfulness_numbers,
    faithfulness_picture,
    found_layer,
)
from graftscope.client.reproduce._reproduction import Claim, Picture, Reproduction, verdict
from graftscope.client.reproduce._study import CGAN, GAN, GENERATORS, VAE, Study
from graftscope.client.reproduce._worth_classes import across_classes, classes_numbers
from graftscope.client.values import (
    IndependenceResult,
    InfluenceResult,
    ProbeResult,
    ReachResult,
)

_ERRORS = 2.0
_ATTRIBUTES = ("Smiling", "Blond_Hair")
_FACES = (VAE, GAN)
_GENERATORS = (*GENERATORS, CGAN)


@dataclass(frozen=True, eq=False)
class Apart:
    """One generator's modules at the intermediate level, looked at one by one.

    Args:
        layer: With their faithfulness.
        influence: Of whole modules, on pairs that did not find them.
        independence: Whether they act by themselves.
        probe: What the classifier that suits the model makes of their hybrids.
    """

    layer: FoundLayer
    influence: InfluenceResult
    independence: IndependenceResult
    probe: ProbeResult


def measure_worth(study: Study) -> Reproduction:
    """Measure the modules of every generator that comes along, at every level."""
    layers = [
        found_layer(study, name, level) for name in _GENERATORS for level in study.levels(name)
    ]
    apart = {each.generator: _apart(study, each) for each in layers if each.level == LEVEL}
    classes = across_classes(study, layers)
    reach = {
        name: {attribute: study.reach(name, attribute=attribute) for attribute in _ATTRIBUTES}
        | {"region": study.reach(name, region=_region(layers, name))}
        for name in _FACES
    }
    return Reproduction(
        name="worth",
        title="What modules are worth",
        pictures=[
            faithfulness_picture(study, layers),
            *(_reach_picture(study, name, found) for name, found in reach.items()),
        ],
        numbers={
            "layers": {name: _numbers(name, layers, apart) for name in _GENERATORS},
            "classes": classes_numbers(classes),
            "answers": answers_by_level(layers),
            "reach": {
                name: {target: _reach_numbers(each) for target, each in found.items()}
                for name, found in reach.items()
            },
        },
        claims=[
            *faithfulness_claims(layers),
            _parts_go_together(apart),
            _act_where_they_say(apart),
            _channels_beat_latents(reach),
        ],
    )


def _apart(study: Study, layer: FoundLayer) -> Apart:
    return Apart(
        layer,
        study.fresh(layer.maps, layer.modules.labels, layer.generator),
        study.independence(layer.maps, layer.modules, layer.generator),
        study.probe(layer.maps, layer.modules, layer.generator),
    )


def _region(layers: Sequence[FoundLayer], name: str) -> NDArray[np.float64]:
    """Where the most concentrated module of the intermediate level acts: its template's top."""
    (layer,) = (each for each in layers if (each.generator, each.level) == (name, LEVEL))
    templates = layer.modules.templates
    tops = np.stack([each >= np.percentile(each, 75) for each in templates])
    inside = [(each * top).sum() / each.sum() for each, top in zip(templates, tops, strict=True)]
    chosen: NDArray[np.float64] = tops[int(np.argmax(inside))].astype(np.float64)
    return chosen


def _parts_go_together(apart: Mapping[str, Apart]) -> Claim:
    told, good = [], []
    for name, each in apart.items():
        found = each.independence
        at = found.measures.index("frechet")
        value, stderr = float(found.over_donor[at]), float(found.over_donor_stderr[at])
        told.append(f"{name} {value:+.2f} ± {stderr:.2f}")
        good.append(value < _ERRORS * stderr)
    return Claim(
        section="2, Definition 3",
        claim="Modules act independently: hybrids with a donor for each module stay as real as "
        "those with one donor for all.",
        measured="Fréchet distance with several donors less that with one: " + "; ".join(told),
        criterion="Not larger by more than two standard errors, for every generator at the "
        "intermediate level; partly if for some.",
        verdict=verdict(agrees=all(good), partly=any(good)),
    )


def _act_where_they_say(apart: Mapping[str, Apart]) -> Claim:
    told, good = [], []
    for name, each in apart.items():
        found = each.independence
        shares = ", ".join(f"{100 * x:.0f} %" for x in found.spill.tolist())
        told.append(f"{name} {shares}")
        good.append(bool((found.spill + _ERRORS * found.spill_stderr < found.area_outside).all()))
    return Claim(
        section="3.3",
        claim="A module acts where its template shows.",
        measured="Share of each module's change outside its template, where three quarters of the "
        "picture are: " + "; ".join(told) + ".",
        criterion="For every module less than the area outside by two standard errors, at the "
        "intermediate level; partly if for some generators.",
        verdict=verdict(agrees=all(good), partly=any(good)),
    )


def _channels_beat_latents(reach: Mapping[str, Mapping[str, ReachResult]]) -> Claim:
    told, good = [], []
    for name, found in reach.items():
        for target, each in found.items():
            best = int(np.argmax(each.by_count))
            value, stderr = float(each.by_count[best]), float(each.by_count_stderr[best])
            told.append(f"{name}, {target}: {each.layers[best]} {value:+.2f} ± {stderr:.2f}")
            good.append(value > _ERRORS * stderr)
    return Claim(
        section="2, Definitions 3 and 4",
        claim="Internal variables are more disentangled than latents: few channels reach more of "
        "an effect than as many latents.",
        measured="Area between the curves of the best layer's channels and of the latents, at "
        "equal numbers: " + "; ".join(told) + ".",
        criterion="Above 0 by two standard errors for every target and generator; partly if for "
        "some.",
        verdict=verdict(agrees=all(good), partly=any(good)),
    )


def _reach_picture(study: Study, name: str, found: Mapping[str, ReachResult]) -> Picture:
    first = next(iter(found.values()))
    return Picture(
        f"worth-reach-{name}",
        f"What the best n latents of {name}, and the best n channels of each layer, give of the "
        f"effect that all of them have together: on two attributes by the classifier of faces, "
        f"and on the change inside a module's template. Ranked greedily on {first.ranking_pairs} "
        f"pairs, measured on {first.held_out_pairs} others; bands are standard errors. Originals "
        f"from {study.source(name)}.",
        partial(paper.reach, paper.Reach([reach_target(each) for each in found.values()])),
    )


def _numbers(
    name: str, layers: Sequence[FoundLayer], apart: Mapping[str, Apart]
) -> dict[str, object]:
    return {
        each.level: {
            "layer": each.maps.layer,
            "channels": [int((each.modules.labels == k).sum()) for k in range(each.modules.k)],
            "faithfulness": faithfulness_numbers(each),
            "apart": _apart_numbers(apart[name]) if each.level == LEVEL else None,
        }
        for each in layers
        if each.generator == name
    }


def _apart_numbers(apart: Apart) -> dict[str, object]:
    found, influence = apart.independence, apart.influence
    own = {
        name: getattr(found, name)
        for name in (
            *("kinds", "measures", "frechet", "frechet_stderr", "over_donor", "over_donor_stderr"),
            *("interaction", "interaction_stderr", "spill", "spill_stderr", "area_outside"),
            *("upper", "lower", "absent", "spectral", "spectral_stderr", "spectral_swapped"),
        )
    }
    return {
        **own,
        "individual": influence.individual / influence.range_width,
        "individual_stderr": influence.individual_stderr / influence.range_width,
        "probe": _probe_numbers(apart.probe),
    }


def _probe_numbers(found: ProbeResult) -> dict[str, object]:
    """Of the modules, by the only classifier."""
    modules = [place for place, kind in enumerate(found.kinds) if kind == "module"]
    names = ("stays", "becomes", "neither", "same_stays")
    ends = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    return {
        "classifier": found.classifiers[0].name,
        **{name: getattr(found, name)[0, modules] for name in ends},
        "verdict": found.verdict[0],
        "verdict_stderr": found.verdict_stderr[0],
    }


def _reach_numbers(found: ReachResult) -> dict[str, object]:
    names = (
        *("target", "layers", "share", "share_stderr", "random", "reachable", "reachable_stderr"),
        *("by_count", "by_count_stderr", "by_share", "by_share_stderr", "units"),
    )
    return {name: getattr(found, name) for name in names}
