"""Photographs for networks that were trained elsewhere: from any source, cut and resized to fit.

    photographs = open_photographs("faces.zip", channels=3, height=64, width=64)
    for pixels in photographs.batches(32):
        ...

An image is turned upright, loses what lies outside the centred part of the wanted proportions, and
is resized (Lanczos): what `graftscope encode` and `--image1` do, so that one photograph has one
encoding. It knows no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from graftscope.training._decoding import Pixels, UnreadableImage, decoded, in_eight_bits
from graftscope.training._sources import ImageSource, open_source
from graftscope.training.data import SkippedImage
from graftscope.training.errors import DataError, EmptyDataError

_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass
class Photographs:
    """The images of a source, decoded as they are asked for.

    Attributes:
        source: Where they come from.
        channels: Colours: 1, 3 or 4 with transparency.
        height: Rows, in pixels.
        width: Columns, in pixels.
        skipped: Those that could not be read, as far as `batches` has come.
    """

    source: ImageSource
    channels: int
    height: int
    width: int
    skipped: list[SkippedImage] = field(default_factory=list)

    def __len__(self) -> int:
        """How many the source lists, readable or not."""
        return len(self.source.names)

    def batches(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """Decode all of them, in the order of their names.

        Args:
            size: How many a batch, at least 1; the last may be smaller.

        Yields:
            (B, H, W, c) uint8.

        Raises:
            EmptyDataError: At the end, if none could be read.
        """
        self.skipped.clear()
        batch: list[Pixels] = []
        for name, encoded in zip(self.source.names, self.source.read(), strict=True):
            pixels = decoded(encoded, self._fitted)
            if isinstance(pixels, UnreadableImage):
                self.skipped.append(SkippedImage(name, pixels.reason))
                continue
            batch.append(pixels)
            if len(batch) == size:
                yield self._stacked(batch)
                batch = []
        if batch:
            yield self._stacked(batch)
        if len(self.skipped) == len(self):
            first = self.skipped[0]
            raise EmptyDataError(
                f"none of the {len(self)} images in {self.source.name!r} can be read; the first, "
                f"{first.name!r}: {first.reason}"
            )

    def _fitted(self, image: Image.Image) -> Image.Image:
        upright = in_eight_bits(ImageOps.exif_transpose(image)).convert(_MODES[self.channels])
        return ImageOps.fit(upright, (self.width, self.height), Image.Resampling.LANCZOS)

    def _stacked(self, batch: list[Pixels]) -> NDArray[np.uint8]:
        shape = (-1, self.height, self.width, self.channels)
        return np.asarray(batch, np.uint8).reshape(shape)


def open_photographs(data: str, *, channels: int, height: int, width: int) -> Photographs:
    """Find a source of images and list them; none is decoded yet.

    Args:
        data: A folder or zip of images, an .npz, CIFAR-10's archive, or `hf:DATASET_ID`.
        channels: Colours: 1, 3 or 4 with transparency.
        height: Rows, in pixels.
        width: Columns, in pixels.

    Raises:
        DataNotFoundError: If the source is not there.
        EmptyDataError: If there is no image in it.
        DataError: If it is of no known kind or damaged, or images cannot have so many colours.
    """
    if channels not in _MODES:
        raise DataError(
            f"photographs cannot have {channels} colours; allowed: {', '.join(map(str, _MODES))}"
        )
    return Photographs(open_source(data), channels, height, width)
