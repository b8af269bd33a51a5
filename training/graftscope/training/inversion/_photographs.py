"""Photographs of a training of an inverter: cut as `graftscope encode` cuts them, and split."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.training.data import DataDescription, SkippedImage, is_held_out
from graftscope.training.errors import DataError
from graftscope.training.inversion._generator import GeneratorDescription
from graftscope.training.inversion._settings import InverterSettings
from graftscope.training.photographs import open_photographs
from graftscope.training.progress import ImageCounter, ProgressCallback, Stage

_BATCH = 256


@dataclass(frozen=True)
class PhotographData:
    """Decoded photographs.

    Attributes:
        description: Where they come from.
        training: Those that may be trained on (N, H, W, C), uint8.
        held_out: Those never trained on (M, H, W, C), uint8; M may be 0.
        skipped: What could not be read.
    """

    description: DataDescription
    training: NDArray[np.uint8]
    held_out: NDArray[np.uint8]
    skipped: tuple[SkippedImage, ...]


def load_photographs(
    data: str,
    generator: GeneratorDescription,
    settings: InverterSettings,
    on_progress: ProgressCallback,
) -> PhotographData:
    """Read, decode and split the photographs of a source.

    Args:
        data: A folder or zip of images, an .npz, CIFAR-10's archive, or `hf:DATASET_ID`.
        generator: Says their colours and size.
        settings: Say which are held out, and how many a batch needs.
        on_progress: Hears of the decoding.

    Raises:
        DataError: If they cannot be read, or are to be learnt from and are fewer than a batch.
    """
    photographs = open_photographs(
        data, channels=generator.channels, height=generator.height, width=generator.width
    )
    count = ImageCounter(Stage.DECODING, len(photographs), on_progress)
    parts = []
    for batch in photographs.batches(_BATCH):
        parts.append(batch)
        count(len(batch))
    pixels = np.concatenate(parts)  # (N, H, W, C)
    lost = {each.name for each in photographs.skipped}
    names = photographs.source.names
    read = [(name, at) for at, name in enumerate(names) if name not in lost]
    held = np.array([is_held_out(name, at, settings.held_out) for name, at in read])
    training, held_out = pixels[~held], pixels[held]
    if settings.photograph_weight and len(training) < settings.batch_size:
        raise DataError(
            f"{len(training)} photographs in {data!r} may be trained on, fewer than a batch; "
            f"batch_size is {settings.batch_size}"
        )
    description = DataDescription(
        name=photographs.source.name,
        kind=photographs.source.kind.value,
        trained_on=len(training) if settings.photograph_weight else 0,
        held_out=len(held_out),
        skipped=len(lost),
        held_out_rule=settings.held_out,
        digest=hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
    )
    return PhotographData(description, training, held_out, tuple(photographs.skipped))


def in_range(pixels: NDArray[np.uint8], generator: GeneratorDescription) -> NDArray[np.float32]:
    """Bytes (B, H, W, C) as the generator's images (B, C, H, W), in its range."""
    scaled = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(scaled * np.float32(generator.span) + np.float32(generator.low))


def in_bytes(images: NDArray[np.float32], generator: GeneratorDescription) -> NDArray[np.uint8]:
    """The generator's images (B, C, H, W) as bytes (B, H, W, 3), to be looked at."""
    scaled = (images - generator.low) / generator.span * 255
    pixels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels[..., :3]
