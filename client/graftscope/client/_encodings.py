"""Images as files: 8 bits a channel, encoded by the server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from graftscope.client._execution import Execution, Precision
from graftscope.client._files import write_bytes
from graftscope.client._fixed import Fixed
from graftscope.client._interventions import Intervention
from graftscope.client._originals import Latents, Originals
from graftscope.client.errors import InputError, OutputError


class ImageEncoding(StrEnum):
    """A format of image files that keeps every pixel."""

    PNG = "png"
    WEBP = "webp"


@dataclass(frozen=True, eq=False, repr=False)
class SampleFiles:
    """Images of the generator, as files.

    Args:
        images: A file for every sample.
        encoding: Their format.
        latents: What they were made from, by the input's name.
        execution: What computed them.
    """

    images: list[bytes]
    encoding: ImageEncoding
    latents: Mapping[str, NDArray[np.generic]]
    execution: Execution

    def __repr__(self) -> str:
        """Tell what it is, without its bytes."""
        return f"<SampleFiles: {len(self.images)} images, {self.encoding}>"

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``0000.png`` and so on into a folder, which is made if it is missing.

        Raises:
            OutputError: If a file cannot be written.
        """
        return _save(folder, {"": self.images}, self.encoding)


@dataclass(frozen=True, eq=False, repr=False)
class HybridFiles:
    """Both originals and the hybrid of every pair, as files.

    Args:
        original1: A file for every pair.
        original2: The same.
        hybrid: The same.
        encoding: Their format.
        distinct_images: How many different real images were used; 0 where none were.
        execution: What computed them.
    """

    original1: list[bytes]
    original2: list[bytes]
    hybrid: list[bytes]
    encoding: ImageEncoding
    distinct_images: int
    execution: Execution

    def __repr__(self) -> str:
        """Tell what it is, without its bytes."""
        return f"<HybridFiles: {len(self.hybrid)} pairs, {self.encoding}>"

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``0000-original1.png``, ``0000-original2.png``, ``0000-hybrid.png`` and so on.

        Args:
            folder: Where to; it is made if it is missing.

        Raises:
            OutputError: If a file cannot be written.
        """
        names = ("original1", "original2", "hybrid")
        return _save(folder, {f"-{name}": getattr(self, name) for name in names}, self.encoding)


class GenerateOptions(TypedDict, total=False):
    """What `Client.generate` takes beside the model and the encoding."""

    count: int
    seed: int
    first: int
    originals: Originals | None
    latents: Latents | None
    fix: Fixed | None
    precision: Precision


class HybridizeOptions(TypedDict, total=False):
    """What `Client.hybridize` takes beside model, layer, channels and encoding."""

    labels: NDArray[np.integer] | None
    module: int | None
    intervention: Intervention | None
    pairs: int
    seed: int
    first: int
    originals: Originals | None
    share: Sequence[str]
    fix: Fixed | None
    precision: Precision


def checked_encoding(word: str) -> ImageEncoding:
    """Read an encoding.

    Raises:
        InputError: If there is none of that name.
    """
    try:
        return ImageEncoding(word)
    except ValueError:
        allowed = ", ".join(ImageEncoding)
        raise InputError(
            f"encoding {word!r} is unknown; there are: {allowed}", field="encoding"
        ) from None


def _save(
    folder: str | Path, files: Mapping[str, Sequence[bytes]], encoding: ImageEncoding
) -> list[Path]:
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"folder {str(folder)!r} cannot be made: {error.strerror}") from error
    paths = []
    for ending, contents in files.items():
        for i, content in enumerate(contents):
            paths.append(target / f"{i:04d}{ending}.{encoding}")
            write_bytes(paths[-1], content)
    return sorted(paths)
