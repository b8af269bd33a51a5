"""Fig. 6: a tenth of beta gives sharper images, and hybrids with more overlay."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import mean_of_known
from graftscope.client.figures import paper
from graftscope.client.reproduce._clustering import (
    LEVEL,
    Clustering,
    cluster,
    clusters_picture,
    module_numbers,
    stability_numbers,
    stability_picture,
)
from graftscope.client.reproduce._measures import (
    Measured,
    gradient_energy,
    means_and_errors,
    measured,
    off_mixture,
    overlay,
    regions,
)
from graftscope.client.reproduce._reproduction import (
    Claim,
    Picture,
    Reproduction,
    Verdict,
    verdict,
)
from graftscope.client.reproduce._sample import resting_on, sample_of
from graftscope.client.reproduce._study import VAE, VAE_TENTH, Study

_BOTH = (VAE, VAE_TENTH)
_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Sharpness:
    """Images with both generators' counterparts.

    Args:
        images: (N, c, H, W) real images; without them, samples of the default generator.
        made: (N, c, H, W) what each generator makes of them.
        ratios: Gradient energy over that of the images; without real images, over the default
            generator's.
    """

    images: NDArray[np.floating]
    made: dict[str, NDArray[np.floating]]
    ratios: dict[str, Measured]


def fig6(study: Study) -> Reproduction:
    """Compare both VAEs: sharpness of reconstructions, modules, overlay of hybrids."""
    found = {name: cluster(study, name, LEVEL) for name in _BOTH}
    mixed = {name: measured(overlays(each)) for name, each in found.items()}
    left = {name: measured(_over_modules(each, off_mixture)) for name, each in found.items()}
    main = found[VAE_TENTH]
    stable = study.stability(main.maps)
    sharp = _sharpness(study)
    against = "the default generator's samples" if study.real is None else "held-out real images"
    return Reproduction(
        name="fig6",
        title="A tenth of beta",
        pictures=[
            clusters_picture(study, "fig6-clusters", main),
            _beta_picture(study, sharp, against, mixed),
            stability_picture(
                study, "fig6-stability", VAE_TENTH, f"{LEVEL} level", {LEVEL: stable}
            ),
        ],
        numbers={
            "modules": {name: module_numbers(each) for name, each in found.items()},
            "sharpness_against": against,
            "sharpness": {name: vars(each) for name, each in sharp.ratios.items()},
            "overlay": {name: vars(each) for name, each in mixed.items()},
            "unlike_any_mixture": {name: vars(each) for name, each in left.items()},
            "stability": stability_numbers(stable),
        },
        claims=[
            _sharper(sharp, against, of_real=study.real is not None),
            *resting_on(
                sample_of(each.maps for each in found.values()),
                [_overlaid(mixed[VAE], mixed[VAE_TENTH])],
            ),
        ],
    )


def _beta_picture(
    study: Study, sharp: Sharpness, against: str, mixed: dict[str, Measured]
) -> Picture:
    is_real = study.real is not None
    sharpness, overlaid = (
        paper.ErrorBars(*means_and_errors([[each[name] for name in _BOTH]]))[0]
        for each in (sharp.ratios, mixed)
    )
    drawn = paper.Beta(
        images=sharp.images[:_SHOWN] if is_real else None,
        default=sharp.made[VAE][:_SHOWN],
        tenth=sharp.made[VAE_TENTH][:_SHOWN],
        image_range=study.model(VAE).image.range,
        sharpness=sharpness,
        overlay=overlaid,
    )
    shown = "held-out images and their reconstructions" if is_real else "samples of both generators"
    caption = (
        f"Left: {shown}. Sharpness: gradient energy relative to {against}. Overlay: how "
        "much of original 1 still shows in each module's own region of the hybrids, "
        f"{study.effort.hybrids} pairs; 0 is replaced, 0.5 a double exposure. Bars are "
        f"standard errors. Originals from {study.source(VAE_TENTH)}."
    )
    return Picture("fig6-beta", caption, partial(paper.beta, drawn))


def overlays(clustering: Clustering) -> NDArray[np.float64]:
    """How much of original 1 still shows in each module's region, mean over modules, (P,)."""
    return _over_modules(clustering, overlay)


def _over_modules(
    clustering: Clustering, measure: Callable[..., NDArray[np.floating]]
) -> NDArray[np.float64]:
    """Measure hybrids in their module's region, mean over the modules that have both, (P,).

    Where no module acts, nothing is known.
    """
    masks = regions(clustering.modules.templates)
    each = [
        measure(made.original1, made.original2, made.hybrid, region)
        for module, (region, made) in enumerate(zip(masks, clustering.hybrids, strict=True))
        if region.any() and clustering.modules.members(module)
    ]
    return mean_of_known(np.stack(each, axis=-1)) if each else np.full(1, np.nan)


def _sharpness(study: Study) -> Sharpness:
    made = {name: _counterparts(study, name) for name in _BOTH}
    if study.real is None:
        images = made[VAE]
    else:
        low, high = study.model(VAE).image.range
        pixels = study.images(VAE).images[: study.effort.hybrids].astype(np.float32)
        images = low + (high - low) * pixels.transpose(0, 3, 1, 2) / 255
    under = _energy(images)
    return Sharpness(
        images, made, {name: _ratio(_energy(each), under) for name, each in made.items()}
    )


def _energy(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean gradient energy of each image, (N,)."""
    return np.asarray(gradient_energy(images).mean(axis=(1, 2)), np.float64)


def _counterparts(study: Study, name: str) -> NDArray[np.floating]:
    """Reconstructions of held-out images; samples, where there are none."""
    if study.real is None:
        return study.client.generate(name, count=study.effort.hybrids, seed=study.seed).images
    images = study.images(name).images[: study.effort.hybrids]
    mean = study.client.encode(name, images).mean
    return study.client.generate(name, latents=mean).images


def _ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> Measured:
    """A ratio of means, with the standard error of a ratio of paired values."""
    ratio = float(over.mean() / under.mean())
    left = measured((over - ratio * under) / under.mean())
    return Measured(ratio, left.stderr)


def _sharper(found: Sharpness, against: str, *, of_real: bool) -> Claim:
    default, tenth = found.ratios[VAE], found.ratios[VAE_TENTH]
    return Claim(
        section="4.1, Fig. 6",
        claim="With beta divided by 10 the overall image quality is better: reconstructions are "
        "sharper.",
        measured=f"Gradient energy relative to {against}: beta {default:.2f}, beta/10 {tenth:.2f}.",
        criterion="Higher with beta/10 by more than two standard errors, and not above 1 against "
        "real images; open within that.",
        verdict=Verdict.DIFFERS if of_real and tenth.mean > 1 else _higher(tenth, default),
    )


def _higher(one: Measured, other: Measured) -> Verdict:
    """Whether one is higher; open where their errors hold both answers."""
    if one.exceeds(other) or other.exceeds(one):
        return verdict(agrees=one.exceeds(other))
    return Verdict.TOO_FEW


def _overlaid(default: Measured, tenth: Measured) -> Claim:
    return Claim(
        section="4.1, Fig. 6",
        claim="With beta divided by 10 hybridization is slightly more artificial: both originals' "
        "hair is overlaid.",
        measured="Original 1's weight in the regions of the modules that replace it: beta "
        f"{default:.3f}, beta/10 {tenth:.3f}.",
        criterion="Original 1's weight is higher with beta/10 by more than two standard errors, on "
        "average over modules; open within that.",
        verdict=_higher(tenth, default),
    )
