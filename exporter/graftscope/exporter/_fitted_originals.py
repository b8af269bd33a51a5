"""Originals fitted to photographs: mean and covariance of their encodings (section 4).

Encodings are added up batch by batch, and the first photographs are also reconstructed: an encoder
of another decoder, or images in another range, would else be noticed by nobody. It knows neither
graphs nor PyTorch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graftscope import codec
from graftscope.bundle import Originals
from graftscope.exporter.errors import SourceError
from graftscope.exporter.progress import ExportCallback, ExportProgress, ExportStage
from graftscope.training import Photographs

_BATCH: Final = 16
_MOST_LATENTS: Final = 4096
"""Their covariance takes 128 MiB; its eigenvectors, which originals are drawn along, a minute."""
_CHECKED: Final = 64
_NAMED_SKIPPED: Final = 3

Compute = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Images (B, C, H, W) to latents (B, ...), or latents to images."""


class Moments:
    """Mean and covariance of rows, added up in float64 without keeping them (Chan's rule)."""

    def __init__(self, size: int) -> None:
        """Begin with no row.

        Args:
            size: Z, numbers a row.
        """
        self.count = 0
        self.mean = np.zeros(size)
        self._products = np.zeros((size, size))

    def add(self, rows: NDArray[np.floating]) -> None:
        """Add rows (B, Z)."""
        given = rows.astype(np.float64)
        mean = given.mean(axis=0)
        centred, apart, total = given - mean, mean - self.mean, self.count + len(given)
        share = len(given) / total
        self._products += centred.T @ centred + np.outer(apart, apart) * self.count * share
        self.mean = self.mean + apart * share
        self.count = total

    def originals(self) -> Originals:
        """Return the mean (Z,) and the covariance (Z, Z) with the divisor N - 1."""
        return Originals(self.mean, self._products / (self.count - 1))


@dataclass(frozen=True)
class Fitted:
    """What was fitted.

    Attributes:
        originals: Mean and covariance.
        count: How many photographs they are of.
        notes: How photographs were read, and how good reconstructions are; one line each.
    """

    originals: Originals
    count: int
    notes: tuple[str, ...]


def fit_originals(
    photographs: Photographs,
    latent: tuple[int, ...],
    pixels: tuple[float, float],
    encode: Compute,
    decode: Compute | None,
    on_progress: ExportCallback,
) -> Fitted:
    """Encode photographs, and tell what their encodings look like.

    Args:
        photographs: In the size of the generator's images.
        latent: Extents of the input that is inferred.
        pixels: The range of the generator's images.
        encode: Images in that range to means.
        decode: Means to images; None where a reconstruction needs more than that.
        on_progress: Hears of every batch.

    Raises:
        SourceError: If there are fewer than two photographs, the latent has too many numbers for
            a covariance, or encodings are not finite.
        TrainingError: If no photograph can be read.
    """
    size = prod(latent)
    if size > _MOST_LATENTS:
        raise SourceError(
            f"originals are not fitted to latents of {size} numbers, whose covariance takes "
            f"{size * size * 8 / 2**30:.1f} GiB; at most {_MOST_LATENTS} are allowed: leave out "
            "--data"
        )
    moments, check = Moments(size), _Check(pixels, decode)
    for batch in photographs.batches(_BATCH):
        images = in_range(batch, pixels)
        means = encode(images)
        if not np.isfinite(means).all():
            raise SourceError("the encoder's means of photographs are not finite")
        moments.add(means.reshape(len(means), size))
        check.add(images, means)
        done = moments.count + len(photographs.skipped)
        on_progress(ExportProgress(ExportStage.ENCODING, done, len(photographs)))
    if moments.count < 2:
        raise SourceError(f"{photographs.source.name!r} holds 1 photograph; a covariance needs 2")
    notes = (_reading(photographs, moments.count, size, pixels), *check.notes())
    return Fitted(moments.originals(), moments.count, notes)


def in_range(images: NDArray[np.uint8], pixels: tuple[float, float]) -> NDArray[np.float32]:
    """Photographs (B, H, W, c) as the generator's images (B, c, H, W), in its range."""
    return np.ascontiguousarray(codec.in_range(images.transpose(0, 3, 1, 2), *pixels))


def _reading(
    photographs: Photographs, count: int, latents: int, pixels: tuple[float, float]
) -> str:
    skipped = [f"{each.name}: {each.reason}" for each in photographs.skipped[:_NAMED_SKIPPED]]
    lacking = f"; {len(photographs.skipped)} could not be read ({'; '.join(skipped)})"
    few = (
        f"; those are few for {latents} latents: originals vary in {count - 1} directions alone"
        if count <= latents
        else ""
    )
    return (
        f"originals: fitted to the encodings of {count} photographs of {photographs.source.name}, "
        f"each cut to its centre and resized to {photographs.height} x {photographs.width}, in "
        f"[{pixels[0]:g}, {pixels[1]:g}]{lacking if skipped else ''}{few}"
    )


class _Check:
    """Compares the first photographs with their reconstructions, and with their own mean."""

    def __init__(self, pixels: tuple[float, float], decode: Compute | None) -> None:
        self._width, self._decode = pixels[1] - pixels[0], decode
        self._images: list[NDArray[np.float32]] = []
        self._made: list[NDArray[np.float32]] = []

    def add(self, images: NDArray[np.float32], means: NDArray[np.float32]) -> None:
        if self._decode is not None and sum(map(len, self._images)) < _CHECKED:
            self._images.append(images)
            self._made.append(self._decode(means))

    def notes(self) -> tuple[str, ...]:
        if self._decode is None:
            return ("reconstructions were not compared: the generator takes more than the latent",)
        images, made = (np.concatenate(each) for each in (self._images, self._made))
        found, least = (
            sqrt(float(np.square(images - other, dtype=np.float64).mean())) / self._width
            for other in (made, images.mean(axis=0))
        )
        told = (
            f"reconstructions of {len(images)} photographs are off by {found:.1%} of the range "
            f"(root mean square), their mean picture by {least:.1%}"
        )
        if found < least:
            return (told,)
        return (
            f"{told}: no better than one picture for all, so this encoder and this generator may "
            "not belong together, or --encoder-range or --encoder-outputs may be others",
        )
