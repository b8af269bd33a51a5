"""The model card's section on samples: their distances to held-out images, and how to read them."""

from typing import Final

from graftscope.training import Quality
from graftscope.training.quality import Distance, FeatureConfig, FeatureTask

_SOURCES: Final = {
    "halves": "the other half of the held-out images",
    "prior": "samples from the prior",
    "encoded": "samples from the Gaussian of the training images' encodings",
    "noise": "training images' mean with noise of each pixel's own deviation",
}
_TASKS: Final = {
    FeatureTask.CELEBA: "{} attributes of faces",
    FeatureTask.CIFAR10: "{} classes of CIFAR-10",
}


def samples_section(quality: Quality | None) -> str:
    """Write the section.

    Args:
        quality: What `graftscope measure` found; None if it was not run.

    Returns:
        Markdown.
    """
    if quality is None:
        return "Nothing was measured. `graftscope measure` does it."
    least = quality.halves.mean.frechet
    rows = "\n".join(
        f"| {_SOURCES[name]} | {_plus_minus(distance, 'frechet')} | "
        f"{distance.mean.frechet / least:.3g} | {_plus_minus(distance, 'kernel')} |"
        for name, distance in quality.sources.items()
    )
    return (
        f"Distances from one half of the {quality.data.held_out:,} held-out images, always between "
        f"{quality.images:,} and {quality.images:,} images; mean and standard deviation of "
        f"{quality.repeats} halvings.\n\n"
        "| against one half | Fréchet | x halves | kernel |\n| --- | --- | --- | --- |\n"
        f"{rows}\n\n"
        f"{_network(quality.features)} These distances are not comparable with those of other "
        f"networks (sha256 of this one: `{quality.features_digest}`). The Fréchet distance is "
        "squared; between finite sets it is above 0 even for perfect samples, which the first row "
        "shows. The kernel distance is 0 for those, in the mean."
    )


def _network(features: FeatureConfig) -> str:
    task = _TASKS[features.task].format(len(features.answers))
    return (
        f"The features are those of a small network that was trained to tell {task}: mean accuracy "
        f"{features.accuracy:.3f} on {features.held_out:,} held-out images, "
        f"{features.commonest_accuracy:.3f} for always telling what is commonest."
    )


def _plus_minus(distance: Distance, kind: str) -> str:
    mean, deviation = getattr(distance.mean, kind), getattr(distance.deviation, kind)
    return f"{mean:.4g} ± {deviation:.2g}"
