"""Checkpoints of `graftscope.training` as what is exported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from graftscope.bundle import Originals
from graftscope.exporter._subject import EncoderSubject, GeneratorSubject
from graftscope.exporter.errors import SourceError
from graftscope.exporter.sources._card import checkpoint_card
from graftscope.exporter.sources._hooks import find_hooks
from graftscope.exporter.sources._trace import IMAGE, reference, trace, versions
from graftscope.graph import Layer, find_layers
from graftscope.training import Checkpoint, Quality, load_checkpoint, load_quality
from graftscope.training.settings import all_settings
from graftscope.v1 import bundle_pb2

MEAN: Final = "mean"
LOG_VARIANCE: Final = "log_variance"
LOW: Final = -1.0
HIGH: Final = 1.0
LATENT: Final = "z"
LABEL: Final = "label"

_EXAMPLE_BATCH = 2
_CELEBA = "CelebA: non-commercial research only"
_CIFAR10 = "CIFAR-10: its authors state no licence"
LICENCES: Final = {
    "vae-celeba": _CELEBA,
    "gan-celeba": _CELEBA,
    "vae-cifar10": _CIFAR10,
    "gan-cifar10": _CIFAR10,
    "cgan-cifar10": _CIFAR10,
}
"""The terms of the images that a recipe is for; they hold for weights made from them too."""

_DATA_SETS: Final = {"celeba": "CelebA", "cifar": "CIFAR-10"}
"""Data sets by what their files' names have in them, in lowercase."""


@dataclass(frozen=True)
class EncoderModule:
    """An encoder given as a module.

    Attributes:
        module: Images (B, C, H, W) in the generator's range -> the posterior's mean (B, Z) and
            log-variance (B, Z); in evaluation mode, on the CPU.
        originals: Mean and covariance of the training images' encodings.
    """

    module: nn.Module
    originals: Originals


def subject_from_checkpoint(path: Path, name: str, licence: str | None) -> GeneratorSubject:
    """Read a finished training and trace its networks.

    Args:
        path: The checkpoint's folder.
        name: The bundle's name, for the model card; empty takes the recipe's.
        licence: The terms of the images it was trained on; None takes those of the images that
            the recipe is for.

    Raises:
        TrainingError: If it is no finished training, a file is damaged, or `quality.json` tells of
            another generator.
        SourceError: If the graph's layers are not those of the architecture.
    """
    checkpoint, quality = load_checkpoint(path), load_quality(path)
    architecture = checkpoint.config.architecture
    examples = {LATENT: torch.zeros(_EXAMPLE_BATCH, architecture.latent_size)}
    classes = {} if architecture.classes is None else {LABEL: architecture.classes}
    examples |= {name: torch.zeros(_EXAMPLE_BATCH, dtype=torch.int64) for name in classes}
    subject = subject_from_modules(
        checkpoint.generator, examples, _encoder(checkpoint), low=LOW, high=HIGH, classes=classes
    )
    _require_layers(checkpoint, find_layers(subject.model))
    provenance = _provenance(checkpoint, quality, licence)
    return replace(
        subject,
        levels=_levels(checkpoint),
        provenance=provenance,
        card=checkpoint_card(name, checkpoint, quality, provenance),
    )


def subject_from_modules(
    generator: nn.Module,
    examples: Mapping[str, Tensor],
    encoder: EncoderModule | None,
    *,
    low: float,
    high: float,
    classes: Mapping[str, int] | None = None,
) -> GeneratorSubject:
    """Trace a generator, and an encoder if there is one.

    Args:
        generator: Latents to images; in evaluation mode, on the CPU.
        examples: Examples of its arguments by name, (B, ...) with B of at least 2; those in float32
            are standard normal.
        encoder: The encoder that belongs to it and infers its only argument.
        low: The least value of an image's pixel.
        high: The largest.
        classes: The number of classes of each argument that is a label, int64 (B,), by its name.

    Raises:
        SourceError: If PyTorch cannot turn the modules into graphs.
    """
    inputs = [
        _input(name, example, (classes or {}).get(name)) for name, example in examples.items()
    ]
    model = trace(generator, examples, [IMAGE])
    traced = None
    if encoder is not None:
        with torch.no_grad():
            image = generator(*examples.values())
        graph = trace(encoder.module, {IMAGE: image}, [MEAN, LOG_VARIANCE])
        (infers,) = examples
        traced = EncoderSubject(graph, infers, encoder.originals, reference(encoder.module))
    run = reference(generator)
    hooks = partial(find_hooks, generator, run)
    return GeneratorSubject(model, inputs, low, high, run, encoder=traced, find_hooks=hooks)


def _input(name: str, example: Tensor, classes: int | None) -> bundle_pb2.Input:
    shape = example.shape[1:]
    if classes is None:
        normal = bundle_pb2.Normal()
        return bundle_pb2.Input(name=name, datatype="FP32", shape=shape, normal=normal)
    labels = bundle_pb2.Classes(count=classes)
    return bundle_pb2.Input(name=name, datatype="INT64", shape=shape, classes=labels)


def _encoder(checkpoint: Checkpoint) -> EncoderModule | None:
    if checkpoint.encoder is None or checkpoint.originals is None:
        return None
    originals = Originals(checkpoint.originals.mean, checkpoint.originals.covariance)
    return EncoderModule(checkpoint.encoder, originals)


def _levels(checkpoint: Checkpoint) -> dict[str, str]:
    layers = checkpoint.config.architecture.layers
    return {layer.name: layer.level for layer in layers if layer.level}


def _require_layers(checkpoint: Checkpoint, found: Sequence[Layer]) -> None:
    """Refuse a graph whose layers are not where Table 1 has them."""
    expected = [
        (layer.name, layer.channels, layer.size, layer.size)
        for layer in checkpoint.config.architecture.layers
    ]
    have = [(layer.name, layer.channels, layer.height, layer.width) for layer in found]
    if have != expected:
        raise SourceError(
            f"the graph's layers (name, channels, height, width) are {have}; "
            f"the architecture's are {expected}"
        )


def _provenance(
    checkpoint: Checkpoint, quality: Quality | None, licence: str | None
) -> bundle_pb2.Provenance:
    config, metrics = checkpoint.config, checkpoint.metrics
    recipe = config.recipe.name
    measured = {
        "reconstruction_mse": metrics.reconstruction_mse,
        "sampled_reconstruction_mse": metrics.sampled_reconstruction_mse,
        "kl": metrics.kl,
        **(_distances(quality) if quality else {}),
    }
    return bundle_pb2.Provenance(
        recipe=recipe,
        data=_data(config.data.name),
        licence=LICENCES.get(recipe, "") if licence is None else licence,
        metrics={name: value for name, value in measured.items() if value is not None},
        versions=versions(),
        seed=config.seed,
        steps=config.step,
        settings={
            **all_settings(config.recipe),
            "trained_on": str(config.data.trained_on),
            "held_out": str(config.data.held_out),
        },
    )


def _data(source: str) -> str:
    """Name the data set as well where the name of its file tells which one it is."""
    for part, data_set in _DATA_SETS.items():
        if part in source.lower():
            return f"{data_set} ({source})"
    return source


def _distances(quality: Quality) -> dict[str, float]:
    """Name what was measured of the samples: DISTANCE_SOURCE, and the deviations beside it."""
    named = {"feature_accuracy": quality.features.accuracy}
    for source, distance in quality.sources.items():
        named |= {
            f"frechet_{source}": distance.mean.frechet,
            f"frechet_{source}_deviation": distance.deviation.frechet,
            f"kernel_{source}": distance.mean.kernel,
            f"kernel_{source}_deviation": distance.deviation.kernel,
        }
    return named
