"""Fig. 8: modules of generators of CIFAR-10, whose images are not aligned; and two more methods."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from graftscope.client.figures.paper import (
    Methods,
    Stability,
    clusters,
    methods,
    stability,
)
from graftscope.client.reproduce._claims import Claim, Picture, Reproduction, verdict
from graftscope.client.reproduce._clustering import (
    Clustering,
    cluster,
    clusters_caption,
    drawn,
    module_numbers,
    stability_caption,
    stability_drawn,
    stability_numbers,
)
from graftscope.client.reproduce._fig5 import consistency_at, excess_at
from graftscope.client.reproduce._measures import centre_ratio, label_agreement
from graftscope.client.reproduce._study import (
    GAN,
    GAN_CIFAR,
    VAE,
    VAE_CIFAR,
    K,
    Study,
)
from graftscope.client.values import Method, ModulesResult, StabilityResult

_LEVEL = "intermediate"
_METHODS = tuple(Method)
_FOREGROUND, _BACKGROUND = 1.25, 0.8
_SOME = 0.1
_PAIRED = {VAE_CIFAR: VAE, GAN_CIFAR: GAN}


@dataclass(frozen=True)
class Kinds:
    """Shares of a level's channels by where they act.

    Args:
        foreground: Mostly in the central half of the image.
        background: Mostly around it.
    """

    foreground: float
    background: float


def fig8(study: Study) -> Reproduction:
    """Run the procedure on the CIFAR-10 generators, and compare four methods."""
    pictures: list[Picture] = []
    numbers: dict[str, object] = {}
    kinds: dict[str, dict[str, Kinds]] = {}
    stable: dict[str, StabilityResult] = {}
    faces: dict[str, StabilityResult] = {}
    for name in (GAN_CIFAR, VAE_CIFAR):
        maps = study.maps(name, _LEVEL, products=True)
        found = {method: study.modules(maps, method=method) for method in _METHODS}
        stable[name] = study.stability(maps, methods=_METHODS)
        faces[name] = study.stability(study.maps(_PAIRED[name], _LEVEL))
        kinds[name] = _kinds(study, name)
        main = cluster(study, name, _LEVEL)
        pictures += _pictures(study, main, found, stable[name])
        numbers[name] = {
            "foreground_and_background": {x: vars(each) for x, each in kinds[name].items()},
            "stability": stability_numbers(stable[name]),
            "suggested_by_method": {x.method.value: x.k for x in stable[name].suggested},
            "modules": module_numbers(main),
        }
    levels = study.levels(GAN_CIFAR)
    others = {level: study.stability(study.maps(GAN_CIFAR, level)) for level in levels}
    pictures.append(
        Picture(
            "fig8-stability",
            stability_caption(study, GAN_CIFAR, "each level"),
            partial(stability, Stability([stability_drawn(x, others[x]) for x in levels])),
        )
    )
    numbers["levels"] = {level: stability_numbers(each) for level, each in others.items()}
    return Reproduction(
        name="fig8",
        title="Modules of generators of CIFAR-10",
        pictures=pictures,
        numbers=numbers,
        claims=[_foreground(kinds), _less_stable(stable, faces), _other_methods(stable)],
    )


def _pictures(
    study: Study,
    main: Clustering,
    found: Mapping[Method, ModulesResult],
    stable: StabilityResult,
) -> list[Picture]:
    name = main.maps.source.model
    image_range = study.model(name).image.range
    short = "gan" if name == GAN_CIFAR else "vae"
    behind = f"{study.scale.pairs:,} pairs, originals from {study.source(name)}"
    orders = {method: _as_nmf(found, method) for method in _METHODS}
    compared = Methods(
        k=stable.k,
        methods=[method.value for method in _METHODS],
        consistency=stable.consistency,
        chance=stable.chance,
        suggested=np.array([each.k for each in stable.suggested]),
        templates=np.stack([found[method].templates[orders[method]] for method in _METHODS]),
        channels=np.array(
            [[len(found[method].members(j)) for j in orders[method]] for method in _METHODS]
        ),
    )
    return [
        Picture(
            f"fig8-{short}-clusters",
            clusters_caption(study, name, _LEVEL),
            partial(clusters, drawn(main, study.scale.shown, image_range)),
        ),
        Picture(
            f"fig8-{short}-methods",
            f"Four methods on {name}, {_LEVEL} level: NMF and k-means on influence maps, principal "
            "components and a spectral embedding on the channels' effects pair by pair, which need "
            f"no alignment. Left: consistency, mean and standard deviation over "
            f"{study.scale.repeats} partitions, chance dashed, circled where it exceeds chance "
            "most; points lie beside each other so that bars can be seen. Right: templates at "
            f"K = {K}, in the order of those of NMF that share most channels, with the number of "
            f"their channels. Maps over {behind}.",
            partial(methods, compared),
        ),
    ]


def _as_nmf(found: Mapping[Method, ModulesResult], method: Method) -> list[int]:
    """Modules of a method in the order of NMF's that share most channels with them."""
    _, names = label_agreement(found[Method.NMF].labels, found[method].labels, K)
    return [names.index(module) for module in range(K)]


def _kinds(study: Study, name: str) -> dict[str, Kinds]:
    """Tell at every level how many channels act in the centre, and how many around it."""
    found = {}
    for level in study.levels(name):
        ratio = centre_ratio(study.maps(name, level).maps)
        known = ratio[np.isfinite(ratio)]
        found[level] = Kinds(
            float((known > _FOREGROUND).mean()), float((known < _BACKGROUND).mean())
        )
    return found


def _foreground(found: Mapping[str, Mapping[str, Kinds]]) -> Claim:
    told = "; ".join(
        f"{name}: "
        + ", ".join(
            f"{level} foreground {100 * each.foreground:.0f} %, background "
            f"{100 * each.background:.0f} %"
            for level, each in levels.items()
        )
        for name, levels in found.items()
    )
    good = {
        name: any(min(each.foreground, each.background) >= _SOME for each in levels.values())
        for name, levels in found.items()
    }
    return Claim(
        section="4.2, Fig. 8",
        claim="Several influence maps are associated to objects in the foreground, others to the "
        "background.",
        measured="Channels whose mean influence in the central half of the image is above "
        f"{_FOREGROUND} times (foreground) or below {_BACKGROUND} times (background) that around "
        f"it: {told}.",
        criterion=f"At some level of the GAN at least {100 * _SOME:.0f} % of the channels are of "
        "each kind; partly if so for the VAE only.",
        verdict=verdict(agrees=good[GAN_CIFAR], partly=any(good.values())),
    )


def _less_stable(
    found: Mapping[str, StabilityResult], faces: Mapping[str, StabilityResult]
) -> Claim:
    told, good = [], []
    for name, each in found.items():
        here, there = consistency_at(each, K), consistency_at(faces[name], K)
        good.append(there.mean - here.mean > 2 * np.hypot(here.stderr, there.stderr))
        told.append(
            f"{name} {here.mean:.3f} ± {here.stderr:.3f} against {_PAIRED[name]} "
            f"{there.mean:.3f} ± {there.stderr:.3f} (above chance {excess_at(each, K):.2f} against "
            f"{excess_at(faces[name], K):.2f})"
        )
    return Claim(
        section="4.2, Fig. 8",
        claim="On CIFAR-10 the clustering is more challenging to adjust.",
        measured=f"Label consistency of NMF at K = 3, {_LEVEL} level: {'; '.join(told)}.",
        criterion="Lower than for faces by more than two standard errors, for both kinds of "
        "generator; partly if for one.",
        verdict=verdict(agrees=all(good), partly=any(good)),
    )


def _other_methods(found: Mapping[str, StabilityResult]) -> Claim:
    told, good = [], []
    for name, each in found.items():
        excess = {method: excess_at(each, K, method) for method in each.methods}
        good.append(max(excess[Method.PCA], excess[Method.SPECTRAL]) > excess[Method.NMF])
        told.append(
            f"{name}: "
            + ", ".join(f"{method.value} {value:.2f}" for method, value in excess.items())
        )
    return Claim(
        section="5",
        claim="Principal components, and non-linear generalisations, of the channels' "
        "counterfactuals may give modules where images are not spatially aligned (a suggestion of "
        "the paper's).",
        measured=f"Consistency at K = 3 above chance, {_LEVEL} level: {'; '.join(told)}.",
        criterion="One of them exceeds chance by more than NMF does, for both generators; partly "
        "if for one.",
        verdict=verdict(agrees=all(good), partly=any(good)),
    )
