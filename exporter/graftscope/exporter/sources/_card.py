"""The model card: what a person should know before using a trained generator."""

from typing import Final

from graftscope.training import Checkpoint, Quality
from graftscope.training.quality import Distance, FeatureConfig, FeatureTask
from graftscope.training.recipes import (
    AdversarialLoss,
    HeldOutRule,
    Normalisation,
    Objective,
    Recipe,
)
from graftscope.training.settings import changed_settings
from graftscope.v1 import bundle_pb2

HELD_OUT_RULES: Final = {
    HeldOutRule.NUMBER_DIVISIBLE_BY_10: "images whose number is divisible by 10",
    HeldOutRule.TEST_SET: "the data set's own test images",
}
_METRICS: Final = {
    "reconstruction_mse": (
        "mean squared error per pixel and colour, images in [-1, 1], through the posterior's mean"
    ),
    "sampled_reconstruction_mse": "the same through one sample of the posterior",
    "kl": "divergence of the posterior from the prior in nats, summed over latents",
}


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


_TABLE_1: Final = (
    "as in Table 1 of *Tinkering with black boxes: counterfactuals uncover modularity in "
    "generative models*"
)
_RESIDUAL: Final = (
    "a residual network in the manner of BigGAN, whose batch normalisation has gains and shifts of "
    "each class"
)


_NORMALISATIONS: Final = {
    Normalisation.NONE: "no normalisation",
    Normalisation.BATCH: "batch normalisation",
    Normalisation.SPECTRAL: "spectral normalisation",
}


def checkpoint_card(
    name: str,
    checkpoint: Checkpoint,
    quality: Quality | None,
    provenance: bundle_pb2.Provenance,
) -> str:
    """Write the card of a generator that was trained with Graftscope.

    Args:
        name: The bundle's name.
        checkpoint: The training.
        quality: What was measured of its samples; None where nothing was.
        provenance: What the bundle's manifest says of it.

    Returns:
        Markdown.
    """
    sections = {
        "Data": _data(checkpoint, provenance),
        "Training": _training(checkpoint),
        "Reconstructions of held-out images": _held_out(checkpoint, provenance),
        "Samples against held-out images": _samples(quality),
        "Train it again": _again(name, checkpoint),
        "Limits": _limits(checkpoint),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"# {name}\n\n{_summary(checkpoint)}\n\n{body}\n"


def _summary(checkpoint: Checkpoint) -> str:
    architecture = checkpoint.config.architecture
    kind = "VAE" if checkpoint.config.recipe.objective is Objective.VAE else "GAN"
    told, made = "standard normal latents", _TABLE_1
    if architecture.classes is not None:
        told = f"standard normal latents and one of {architecture.classes} classes"
        made = _RESIDUAL
    side = architecture.image_size
    layers = "\n".join(
        f"| {layer.name} | {layer.level or ''} | {layer.channels} x {layer.size} x {layer.size} |"
        for layer in architecture.layers
    )
    return (
        f"A {kind}'s generator of images of {side} x {side} pixels in [-1, 1] from "
        f"{architecture.latent_size} {told}, {made}, split at every layer:\n\n"
        f"| layer | level | channels x height x width |\n| --- | --- | --- |\n{layers}"
    )


def _data(checkpoint: Checkpoint, provenance: bundle_pb2.Provenance) -> str:
    data = checkpoint.config.data
    classes = ", ".join(f"{label} {name}" for label, name in enumerate(data.classes))
    told = f"- Classes by label: {classes}.\n" if classes else ""
    return (
        f"- Images: {provenance.data}, {data.trained_on:,} of them trained on.\n{told}"
        f"- Licence: {provenance.licence or 'not stated'}.\n"
        f"- Held out, never trained on: {HELD_OUT_RULES[data.held_out_rule]} "
        f"({data.held_out:,} images).\n"
        f"- sha256 over the pixels: `{data.digest}`."
    )


def _training(checkpoint: Checkpoint) -> str:
    config, recipe = checkpoint.config, checkpoint.config.recipe
    lines = [
        f"- Recipe: `{recipe.name}`, {config.step:,} steps of {recipe.batch_size} images, "
        f"seed {config.seed}.",
        f"- Adam, learning rate {_rates(recipe)} ({recipe.schedule.value} schedule), "
        f"beta1 {recipe.adam_beta1:g}; arithmetic in {recipe.precision.value}.",
        _losses(recipe),
        f"- Time: {_duration(checkpoint.metrics.wall_time_s)} on {checkpoint.metrics.device}.",
    ]
    return "\n".join(lines)


def _rates(recipe: Recipe) -> str:
    if recipe.objective is Objective.VAE:
        return f"{recipe.learning_rate:g}"
    return (
        f"{recipe.learning_rate:g} for the generator and "
        f"{recipe.discriminator_learning_rate:g} for the discriminator"
    )


def _losses(recipe: Recipe) -> str:
    if recipe.objective is Objective.VAE:
        return f"- Loss: mean squared error + {recipe.beta:g} x divergence."
    penalty = recipe.gradient_penalty
    slope = f"; its loss has {penalty:g} x half its squared gradient at real images (R1)"
    lines = [
        f"- Loss: {_adversarial(recipe)}.",
        f"- Discriminator: {_discriminator(recipe)}{slope if penalty else ''}.",
    ]
    if seen := _seen(recipe):
        lines.append(f"- What the discriminator sees: {seen}.")
    if recipe.average_decay:
        lines.append(
            "- The weights here are an exponential moving average of the generator's, of which "
            f"{recipe.average_decay:g} is kept at each step."
        )
    return "\n".join(lines)


def _adversarial(recipe: Recipe) -> str:
    if recipe.adversarial_loss is AdversarialLoss.HINGE:
        return "hinge"
    smoothed = " (one-sided label smoothing)" if recipe.real_label < 1 else ""
    return f"sigmoid cross entropy, real images labelled {recipe.real_label:g}{smoothed}"


def _discriminator(recipe: Recipe) -> str:
    architecture = recipe.architecture
    channels = ", ".join(str(each) for each in architecture.mirrored_channels)
    kernel = architecture.mirrored_kernel_size
    mirrors = (
        architecture.encoder_channels in (None, architecture.channels[::-1])
        and kernel == architecture.kernel_size
    )
    return (
        f"convolutions of {channels} channels and kernels of {kernel} x {kernel}"
        f"{', the mirror of the generator' if mirrors else ''}; "
        f"{_NORMALISATIONS[recipe.normalisation]}"
        f"{'; the class by projection' if architecture.classes is not None else ''}"
    )


def _seen(recipe: Recipe) -> str:
    """Tell how images are changed before the discriminator sees them."""
    changes = {
        "real images turned left to right at random": recipe.mirroring,
        f"colours changed by {recipe.colour_jitter:g}": recipe.colour_jitter,
        f"moved by up to {recipe.translation:g} of the side": recipe.translation,
        f"a square of {recipe.cutout:g} of the side hidden": recipe.cutout,
    }
    return ", ".join(text for text, strength in changes.items() if strength)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _held_out(checkpoint: Checkpoint, provenance: bundle_pb2.Provenance) -> str:
    if checkpoint.encoder is None:
        return "A GAN has no encoder: there are no reconstructions to measure."
    if checkpoint.metrics.reconstruction_mse is None:
        return "Nothing was measured."
    rows = "\n".join(
        f"| {name} | {provenance.metrics[name]:.4g} | {meaning} |"
        for name, meaning in _METRICS.items()
        if name in provenance.metrics
    )
    count = checkpoint.config.data.held_out
    return f"Means over {count:,} images.\n\n| | | |\n| --- | --- | --- |\n{rows}"


def _again(name: str, checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    settings = "".join(f" --set {setting}" for setting in changed_settings(config.recipe))
    return (
        "```\n"
        f"graftscope train {config.recipe.name} --data {config.data.name} --out checkpoint "
        f"--steps {config.step} --seed {config.seed}{settings}\n"
        f"graftscope export checkpoint --out {name} --name {name}\n"
        "```\n\n"
        "The same images and seed on the same device give the same weights; another processor may "
        "round otherwise."
    )


def _limits(checkpoint: Checkpoint) -> str:
    lines = [
        "- It is meant for studying how generative models work, and for nothing else.",
        "- Its images share the training images' composition and biases.",
    ]
    if checkpoint.config.recipe.objective is Objective.GAN:
        lines.append(
            "- A GAN may cover a part of what it was trained on and repeat itself: look at some "
            "dozens of its samples (`graftscope generate`). Distances hardly show that."
        )
    if checkpoint.config.recipe.objective is Objective.VAE:
        lines.append(
            "- Its images are blurred, as a VAE's are. `originals.safetensors` (mean and "
            "covariance of the training images' encodings) is for samples that lie where "
            "encodings do, which the prior's need not."
        )
    return "\n".join(lines)


def _samples(quality: Quality | None) -> str:
    """Tell the distances of samples to held-out images, and how to read them."""
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
