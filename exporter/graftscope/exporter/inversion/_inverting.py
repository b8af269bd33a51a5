"""Photographs to a bundle's latents, by optimisation from its encoder's answer or from samples."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.exporter._sessions import CpuSession
from graftscope.exporter.errors import SourceError
from graftscope.exporter.inversion._bundle_generator import bundle_generator, open_bundle
from graftscope.training import ProgressCallback, SkippedImage, open_photographs
from graftscope.training.inversion import (
    DRAWS,
    Encode,
    Inversion,
    Optimisation,
    Reconstruction,
    in_range,
    invert,
    reconstruction_of,
)
from graftscope.training.progress import ignore_progress
from graftscope.training.quality import read_features

_BATCH = 64


@dataclass(frozen=True)
class InvertedPhotographs:
    """Latents of photographs.

    Attributes:
        model: The bundle's name.
        input: The name of the latent.
        latents: (N, ...) float32, as the generator takes them.
        names: The photographs' names in their source (N,).
        found: The latents as rows, and errors.
        reconstruction: The errors summed up, beside that of the mean photograph.
        start: Where they started: ``encoder`` or ``samples``.
        skipped: Photographs that could not be read.
    """

    model: str
    input: str
    latents: NDArray[np.float32]
    names: tuple[str, ...]
    found: Inversion
    reconstruction: Reconstruction
    start: str
    skipped: tuple[SkippedImage, ...]


def invert_photographs(
    bundle: str | Path,
    images: str | Path,
    *,
    steps: int = 200,
    learning_rate: float = 0.05,
    prior_weight: float = 0.0,
    features: str | Path | None = None,
    feature_weight: float = 0.01,
    from_samples: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
    torch_source: str | None = None,
    weights: str | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> InvertedPhotographs:
    """Find latents from which a bundle's generator makes photographs, as nearly as it can.

    Args:
        bundle: The name of a generator that ships, or a bundle's folder.
        images: An image, a folder or zip of images, an .npz, ...; cut and resized as
            `graftscope encode` does.
        steps: Steps for each image; 0 leaves them where they start.
        learning_rate: As of `Optimisation`; so are `prior_weight` and `feature_weight`.
        prior_weight: Weight of the latents' mean square.
        features: A feature network that `graftscope measure` wrote; None for pixels alone.
        feature_weight: Weight of the features' error.
        from_samples: Whether to start from the nearest samples although there is an encoder.
        draws: How many samples are looked at.
        seed: Decides them.
        torch_source: As of `bundle_generator`; so is `weights`.
        weights: Weights for what a factory makes.
        on_progress: Hears of every step.

    Raises:
        BundleError: If there is no such bundle, or it is damaged.
        SourceError: If the bundle cannot be inverted, or there are steps to take and no PyTorch
            module to take them through.
        TrainingError: If the photographs or the feature network cannot be read.
    """
    how = Optimisation(
        steps=steps,
        learning_rate=learning_rate,
        prior_weight=prior_weight,
        features=None if features is None else read_features(Path(features)),
        feature_weight=feature_weight,
    )
    generator = bundle_generator(bundle, torch_source=torch_source, weights=weights)
    told = generator.description
    if steps and generator.network is None:
        raise SourceError(
            f"bundle {told.name!r} was not trained with Graftscope, so latents cannot be optimised "
            "through its graph alone: name what it was exported from, --torch CHECKPOINT or "
            "--torch package.module:function, or give --steps 0"
        )
    photographs = open_photographs(
        str(images), channels=told.channels, height=told.height, width=told.width
    )
    pixels = np.concatenate(list(photographs.batches(_BATCH)))  # (N, H, W, C)
    shown = in_range(pixels, told)
    encode = None if from_samples else bundle_encoder(bundle)
    found = invert(
        generator, shown, how, encode=encode, draws=draws, seed=seed, on_progress=on_progress
    )
    lost = {each.name for each in photographs.skipped}
    latent = open_bundle(bundle).manifest.inputs[0]
    return InvertedPhotographs(
        model=told.name,
        input=told.input,
        latents=found.latents.reshape(len(shown), *latent.shape),
        names=tuple(name for name in photographs.source.names if name not in lost),
        found=found,
        reconstruction=reconstruction_of(found.errors, shown, told.span),
        start="samples" if encode is None else "encoder",
        skipped=tuple(photographs.skipped),
    )


def bundle_encoder(bundle: str | Path) -> Encode | None:
    """Return a bundle's encoder: images in the generator's range to means; None if it has none.

    Args:
        bundle: The name of a generator that ships, or a bundle's folder.

    Raises:
        BundleError: If there is no such bundle, or it is damaged.
    """
    opened = open_bundle(bundle)
    if not opened.manifest.HasField("encoder"):
        return None
    stated = opened.manifest.encoder
    session = CpuSession(opened.file(stated.file), optimised=True)

    def encode(images: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = [images[at : at + _BATCH] for at in range(0, len(images), _BATCH)]
        means = [session.run({stated.image: part})[stated.mean] for part in parts]
        return np.concatenate(means).reshape(len(images), -1)

    return encode
