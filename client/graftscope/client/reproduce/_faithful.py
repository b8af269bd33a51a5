"""Whether modules' hybrids stay in the model's image (Definition 2), at every level of a generator.

Distances are compared with those of random sets of as many channels, with a floor (other samples)
and with ceilings (two originals pasted or blended in pixels).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures import paper
from graftscope.client.reproduce._clustering import LEVEL
from graftscope.client.reproduce._reproduction import Claim, Picture, verdict
from graftscope.client.reproduce._study import Study
from graftscope.client.values import MEASURES, FaithfulnessResult, InfluenceResult, ModulesResult

_ERRORS = 2.0
_SAMPLES = 0
"""The reference that claims are about, among a result's references."""

MODULE, COUNT, INFLUENCE = "module", "count", "influence"
FLOOR, PASTED, BLENDED = "floor", "pasted", "blended"


@dataclass(frozen=True, eq=False)
class FoundLayer:
    """One layer's modules, and how faithful they are.

    Args:
        generator: Its name.
        level: The layer's level.
        maps: Of every channel.
        modules: Found in them.
        faithful: What was measured.
    """

    generator: str
    level: str
    maps: InfluenceResult
    modules: ModulesResult
    faithful: FaithfulnessResult

    def distances(self, kind: str) -> NDArray[np.float64]:
        """Fréchet distances from samples of all sets of a kind."""
        found: NDArray[np.float64] = self.faithful.frechet[_SAMPLES, self.rows(kind)]
        return found

    def rows(self, kind: str) -> NDArray[np.bool_]:
        """(S,) which sets are of a kind."""
        return np.array([each == kind for each in self.faithful.kinds])

    @property
    def verdicts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(K,) distances less those of random sets of as many channels, and standard errors."""
        row = self.faithful.against.index(COUNT)
        return (
            self.faithful.verdict[row, _SAMPLES],
            self.faithful.verdict_stderr[row, _SAMPLES],
        )

    @property
    def word(self) -> str:
        """Of how many modules it is sure that they are nearer than random sets, or farther."""
        value, stderr = self.verdicts
        nearer, farther = (int((sign * value > _ERRORS * stderr).sum()) for sign in (-1, 1))
        return f"{nearer} of {len(value)} nearer, {farther} farther"

    @property
    def are_nearer(self) -> bool:
        """Whether modules are nearer to samples than random sets, on average and surely."""
        value, stderr = self.verdicts
        known = np.isfinite(value)
        mean = value[known].mean()
        # Errors of modules of one run add up at worst.
        return bool(mean < -_ERRORS * stderr[known].mean())

    @property
    def are_farther(self) -> bool:
        """The contrary."""
        value, stderr = self.verdicts
        known = np.isfinite(value)
        return bool(value[known].mean() > _ERRORS * stderr[known].mean())


def found_layer(study: Study, generator: str, level: str) -> FoundLayer:
    """Find a level's modules, and measure how faithful they are, on other pairs."""
    maps = study.maps(generator, level, pairs=study.effort.worth)
    modules = study.modules(maps)
    return FoundLayer(generator, level, maps, modules, study.faithfulness(maps, modules, generator))


def faithfulness_picture(study: Study, layers: Sequence[FoundLayer]) -> Picture:
    """Draw all layers' modules beside random sets, floor and ceilings."""
    first = layers[0].faithful
    return Picture(
        "worth-faithfulness",
        "How far hybrids are from samples: the Fréchet distance in the features of "
        f"{_features(layers)}, {first.pairs:,} hybrids a set and as many samples. A coloured "
        "point is a module, the diamond beside it the mean of random sets of as many channels, "
        "with standard errors. Other samples have the distance of the black line, which is not 0 "
        "because the images are few. Crosses are two originals put together in pixels.",
        partial(paper.faithfulness, [_drawn(each) for each in layers]),
    )


def _features(layers: Sequence[FoundLayer]) -> str:
    return " or ".join(dict.fromkeys(each.faithful.features for each in layers))


def _drawn(layer: FoundLayer) -> paper.LayerWorth:
    found, of_module = layer.faithful, layer.rows(MODULE)
    distances = paper.ErrorBars(
        found.frechet[_SAMPLES, of_module], found.frechet_stderr[_SAMPLES, of_module]
    )
    value, stderr = layer.verdicts
    controls = paper.ErrorBars(distances.value - value, stderr)
    floor, pasted, blended = (float(layer.distances(kind)[0]) for kind in (FLOOR, PASTED, BLENDED))
    return paper.LayerWorth(
        layer.generator, layer.level, distances, controls, floor, pasted, blended
    )


def faithfulness_claims(layers: Sequence[FoundLayer]) -> list[Claim]:
    """Lay what the paper takes for granted beside what was measured."""
    return [_stay_in_the_image(layers), _nearer_than_random(layers)]


def _stay_in_the_image(layers: Sequence[FoundLayer]) -> Claim:
    told, good, all_good = [], [], []
    for layer in layers:
        modules, floor = layer.distances(MODULE), float(layer.distances(FLOOR)[0])
        ceiling = float(min(layer.distances(PASTED)[0], layer.distances(BLENDED)[0]))
        share = (modules - floor) / (ceiling - floor)
        told.append(f"{layer.generator} {layer.level} {_percents(share)}")
        holds = bool((share < 1 / 2).all())
        all_good.append(holds)
        if layer.level == LEVEL:
            good.append(holds)
    return Claim(
        section="2, Definition 2",
        claim="Hybrids of modules stay in the model's image: they are faithful.",
        measured="Modules' distance above the floor, as a share of the lower ceiling's: "
        + "; ".join(told)
        + ".",
        criterion="Below half for every module at the intermediate level of every generator; "
        "partly if at some layer all modules are.",
        verdict=verdict(agrees=all(good), partly=any(all_good)),
    )


def _nearer_than_random(layers: Sequence[FoundLayer]) -> Claim:
    told = [f"{each.generator} {each.level}: {each.word}" for each in layers]
    at_level = [each for each in layers if each.level == LEVEL]
    return Claim(
        section="2, Definition 2",
        claim="Modules are more faithful than random sets of as many channels.",
        measured="Modules whose distance differs from that of random sets by more than two "
        "standard errors: " + "; ".join(told) + ".",
        criterion="On average over the modules nearer by more than two standard errors, at the "
        "intermediate level of every generator; partly if at some layer.",
        verdict=verdict(
            agrees=all(each.are_nearer for each in at_level),
            partly=any(each.are_nearer for each in layers),
        ),
    )


def answers_by_level(layers: Sequence[FoundLayer]) -> dict[str, dict[str, str]]:
    """Answer for each layer whether modules are more faithful than random sets."""
    answers: dict[str, dict[str, str]] = {}
    for each in layers:
        answer = "confirmed" if each.are_nearer else "refuted" if each.are_farther else "undecided"
        answers.setdefault(each.generator, {})[each.level] = answer
    return answers


def faithfulness_numbers(layer: FoundLayer) -> dict[str, object]:
    """Everything that was measured of a layer, ready for JSON."""
    found = layer.faithful
    value, stderr = layer.verdicts
    return {
        "kinds": list(found.kinds),
        "module": found.module,
        "channels": found.channels,
        "references": list(found.references),
        **{name: getattr(found, name) for name in MEASURES},
        **{f"{name}_stderr": getattr(found, f"{name}_stderr") for name in MEASURES},
        "against_random_sets": value,
        "against_random_sets_stderr": stderr,
        "decoding": found.decoding,
        "response": found.response,
        "features": found.features,
        "pairs": found.pairs,
        "images": found.images,
        "answer": layer.word,
        "warning": found.warning,
    }


def _percents(shares: NDArray[np.float64]) -> str:
    return ", ".join(f"{100 * each:.0f} %" for each in shares.tolist())
