"""Modules of a generator that is told a class: are they the same in every class, and who says
what class a hybrid is of, the module or what the generator is told?

Modules that are found with samples of all classes are compared with those found with samples of
one. They cannot agree more than they do with what other samples of all classes give, which stands
beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from graftscope.client.comparing import Comparison, compare
from graftscope.client.reproduce._clustering import LEVEL
from graftscope.client.reproduce._faithful import FoundLayer
from graftscope.client.reproduce._study import CGAN, LABEL, Study
from graftscope.client.values import InfluenceResult, ProbeResult


@dataclass(frozen=True, eq=False)
class AcrossClasses:
    """What modules of one level have to do with classes.

    Args:
        level: The layer's level.
        modules: Found with samples of all classes.
        again: How they agree with those of other samples of all classes.
        within: Likewise with those of pairs that are of one class each, whichever it is.
        of_class: Likewise with those of samples of one class alone, by the class; at the
            intermediate level.
        probe: What a classifier makes of their hybrids, and of those of the whole layer.
    """

    level: str
    again: Comparison
    within: Comparison
    of_class: dict[int, Comparison]
    probe: ProbeResult


def across_classes(study: Study, layers: Sequence[FoundLayer]) -> list[AcrossClasses]:
    """Compare modules across the classes of the generator that is told one, level by level."""
    return [_of_level(study, each) for each in layers if each.generator == CGAN]


def classes_numbers(found: Sequence[AcrossClasses]) -> dict[str, object]:
    """Return what was found, by level, for files."""
    return {
        each.level: {
            "again": _agreement(each.again),
            "within": _agreement(each.within),
            "of_class": {str(label): _agreement(x) for label, x in each.of_class.items()},
            "probe": _probe_numbers(each.probe),
        }
        for each in found
    }


def _of_level(study: Study, layer: FoundLayer) -> AcrossClasses:
    level, count = layer.level, study.effort.worth
    others = study.maps(CGAN, level, pairs=count, first=count)
    within = study.maps(CGAN, level, pairs=count, share=(LABEL,))
    classes = range(study.classes(CGAN)) if level == LEVEL else range(0)
    of_class = {x: study.maps(CGAN, level, pairs=count, fix={LABEL: x}) for x in classes}
    return AcrossClasses(
        level,
        _compared(study, layer, others),
        _compared(study, layer, within),
        {x: _compared(study, layer, maps) for x, maps in of_class.items()},
        study.probe(layer.maps, layer.modules, CGAN),
    )


def _compared(study: Study, layer: FoundLayer, maps: InfluenceResult) -> Comparison:
    """Compare a layer's modules with those of other maps of the same channels."""
    return compare(layer.modules, study.modules(maps), same_channels=True)


def _agreement(found: Comparison) -> dict[str, float]:
    return {
        "channels": found.agreement,
        "adjusted_rand": found.adjusted_rand,
        "cosine": float(found.cosine.mean()) if len(found.cosine) else 0.0,
    }


def _probe_numbers(found: ProbeResult) -> dict[str, object]:
    """Of the modules and of the whole layer, by the only classifier."""
    places = [at for at, kind in enumerate(found.kinds) if kind in ("module", "layer")]
    names = [f"{name}{end}" for name in ("stays", "becomes") for end in ("", "_low", "_high")]
    return {
        "sets": [found.kinds[at] for at in places],
        "channels": found.channels[places],
        **{name: getattr(found, name)[0, places] for name in names},
    }
