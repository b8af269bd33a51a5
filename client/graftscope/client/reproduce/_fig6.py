"""Fig. 6: a tenth of beta gives sharper images, and hybrids with more overlay."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import mean_of_known
from graftscope.client.figures.paper import Beta, ErrorBars, Stability, beta, clusters, stability
from graftscope.client.reproduce._claims import Claim, Picture, Reproduction, Verdict, verdict
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
from graftscope.client.reproduce._measures import (
    Measured,
    gradient_energy,
    measured,
    off_mixture,
    overlay,
    regions,
)
from graftscope.client.reproduce._study import VAE, VAE_TENTH, Study
from graftscope.client.values import HybridResult

_LEVEL = "intermediate"
_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Sharpness:
    """Images with both generators' counterparts.

    Args:
        images: (N, c, H, W) real images; without them, samples of the default generator.
        default: (N, c, H, W) what the default generator makes of them.
        tenth: (N, c, H, W) what that with a tenth of beta makes.
        default_ratio: Gradient energy over that of the images; without real images, 1.
        tenth_ratio: Likewise; without real images, over the default generator's.
    """

    images: NDArray[np.floating]
    default: NDArray[np.floating]
    tenth: NDArray[np.floating]
    default_ratio: Measured
    tenth_ratio: Measured


def fig6(study: Study) -> Reproduction:
    """Compare both VAEs: sharpness of reconstructions, modules, overlay of hybrids."""
    image_range = study.model(VAE).image.range
    found = {name: cluster(study, name, _LEVEL) for name in (VAE, VAE_TENTH)}
    mixed = {name: overlays(each) for name, each in found.items()}
    left = {name: leftovers(each) for name, each in found.items()}
    stable = study.stability(found[VAE_TENTH].maps)
    sharp = _sharpness(study)
    main = found[VAE_TENTH]
    source = study.source(VAE_TENTH)
    overlaid = [measured(mixed[name]) for name in (VAE, VAE_TENTH)]
    against, shown = "the default generator's samples", "samples of both generators"
    if study.real is not None:
        against, shown = "held-out real images", "held-out images and their reconstructions"
    return Reproduction(
        name="fig6",
        title="A tenth of beta",
        pictures=[
            Picture(
                "fig6-clusters",
                clusters_caption(study, VAE_TENTH, _LEVEL),
                partial(clusters, drawn(main, study.scale.shown, image_range)),
            ),
            Picture(
                "fig6-beta",
                f"Left: {shown}. Sharpness: gradient energy relative to {against}. Overlay: how "
                "much of original 1 still shows in each module's own region of the hybrids, "
                f"{study.scale.hybrids} pairs; 0 is replaced, 0.5 a double exposure. Bars are "
                f"standard errors. Originals from {source}.",
                partial(
                    beta,
                    Beta(
                        images=None if study.real is None else sharp.images[:_SHOWN],
                        default=sharp.default[:_SHOWN],
                        tenth=sharp.tenth[:_SHOWN],
                        image_range=image_range,
                        sharpness=_bars(sharp.default_ratio, sharp.tenth_ratio),
                        overlay=_bars(*overlaid),
                    ),
                ),
            ),
            Picture(
                "fig6-stability",
                stability_caption(study, VAE_TENTH, f"{_LEVEL} level"),
                partial(stability, Stability([stability_drawn(_LEVEL, stable)])),
            ),
        ],
        numbers={
            "modules": {name: module_numbers(each) for name, each in found.items()},
            "sharpness_against": against,
            "sharpness": {VAE: vars(sharp.default_ratio), VAE_TENTH: vars(sharp.tenth_ratio)},
            "overlay": {name: vars(measured(each)) for name, each in mixed.items()},
            "unlike_any_mixture": {name: vars(measured(each)) for name, each in left.items()},
            "stability": stability_numbers(stable),
        },
        claims=[_sharper(sharp, against, of_real=study.real is not None), _overlaid(*overlaid)],
    )


def overlays(clustering: Clustering) -> NDArray[np.float64]:
    """How much of original 1 still shows in each module's region, mean over modules, (P,)."""
    each = [
        overlay(made.original1, made.original2, made.hybrid, region)
        for region, made in _acting(clustering)
    ]
    return _over_modules(each)


def leftovers(clustering: Clustering) -> NDArray[np.float64]:
    """How far hybrids are from any mixture of their originals there, mean over modules, (P,)."""
    each = [
        off_mixture(made.original1, made.original2, made.hybrid, region)
        for region, made in _acting(clustering)
    ]
    return _over_modules(each)


def _over_modules(each: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Average (P,) values of each module over the modules; where none acts, nothing is known."""
    return mean_of_known(np.stack(each, axis=-1)) if each else np.full(1, np.nan)


def _acting(clustering: Clustering) -> list[tuple[NDArray[np.bool_], HybridResult]]:
    """Region and hybrids of each module that has both channels and a region."""
    masks = regions(clustering.modules.templates)
    return [
        (region, made)
        for module, (region, made) in enumerate(zip(masks, clustering.hybrids, strict=True))
        if region.any() and clustering.modules.members(module)
    ]


def _sharpness(study: Study) -> Sharpness:
    made = {name: _counterparts(study, name) for name in (VAE, VAE_TENTH)}
    energies = {name: gradient_energy(each).mean(axis=(1, 2)) for name, each in made.items()}
    if study.real is None:
        images = made[VAE]
        under = energies[VAE]
    else:
        low, high = study.model(VAE).image.range
        pixels = study.images(VAE).images[: study.scale.hybrids].astype(np.float32)
        images = low + (high - low) * pixels.transpose(0, 3, 1, 2) / 255
        under = gradient_energy(images).mean(axis=(1, 2))
    ratios = {name: _ratio(each, under) for name, each in energies.items()}
    return Sharpness(images, made[VAE], made[VAE_TENTH], ratios[VAE], ratios[VAE_TENTH])


def _counterparts(study: Study, name: str) -> NDArray[np.floating]:
    """Reconstructions of held-out images; samples, where there are none."""
    if study.real is None:
        return study.client.generate(name, count=study.scale.hybrids, seed=study.seed).images
    images = study.images(name).images[: study.scale.hybrids]
    mean = study.client.encode(name, images).mean
    return study.client.generate(name, latents=mean).images


def _ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> Measured:
    """A ratio of means, with the standard error of a ratio of paired values."""
    ratio = float(over.mean() / under.mean())
    left = measured((over - ratio * under) / under.mean())
    return Measured(ratio, left.stderr)


def _bars(first: Measured, second: Measured) -> ErrorBars:
    return ErrorBars(np.array([first.mean, second.mean]), np.array([first.stderr, second.stderr]))


def _sharper(found: Sharpness, against: str, *, of_real: bool) -> Claim:
    a, b = found.default_ratio, found.tenth_ratio
    sharper = b.mean - a.mean > 2 * np.hypot(a.stderr, b.stderr)
    return Claim(
        section="4.1, Fig. 6",
        claim="With beta divided by 10 the overall image quality is better: reconstructions are "
        "sharper.",
        measured=f"Gradient energy relative to {against}: beta {a.mean:.2f} ± {a.stderr:.2f}, "
        f"beta/10 {b.mean:.2f} ± {b.stderr:.2f}.",
        criterion="Higher with beta/10 by more than two standard errors, and not above 1 against "
        "real images.",
        verdict=verdict(agrees=bool(sharper) and not (of_real and b.mean > 1)),
    )


def _overlaid(default: Measured, tenth: Measured) -> Claim:
    difference, error = tenth.mean - default.mean, float(np.hypot(default.stderr, tenth.stderr))
    told = (
        f"Original 1's weight in the regions of the modules that replace it: beta "
        f"{default.mean:.3f} ± {default.stderr:.3f}, beta/10 {tenth.mean:.3f} ± {tenth.stderr:.3f}."
    )
    decided = abs(difference) > 2 * error
    return Claim(
        section="4.1, Fig. 6",
        claim="With beta divided by 10 hybridization is slightly more artificial: both originals' "
        "hair is overlaid.",
        measured=told,
        criterion="Original 1's weight is higher with beta/10 by more than two standard errors, on "
        "average over modules; undecided within that.",
        verdict=verdict(agrees=difference > 0) if decided else Verdict.UNDECIDED,
    )
