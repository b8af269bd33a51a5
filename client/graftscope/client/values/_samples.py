"""Samples and encodings: what to generate or to encode while one waits, and what comes of it.

Axis letters: B samples, c colours, H, W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import Axes, Checked, Flag, Latents, Whole, write_npz
from graftscope.client.values._encoding import ImageEncoding, WantedEncoding, save_files
from graftscope.client.values._execution import Execution, Precision, WantedPrecision
from graftscope.client.values._pairs import (
    FirstPair,
    FixedInputs,
    Originals,
    Pairs,
    single,
)


@dataclass(frozen=True, eq=False)
class SamplesTask(Checked):
    """Samples to generate: original 1 of pairs, or what given latents make.

    Args:
        model: The model's name.
        count: How many, at least 1.
        seed: Any number in [0, 2^32).
        first: Index of the first sample; sample i of a seed is always the same.
        originals: Where latents come from; None for `Encoded` where the model has an encoder,
            else `Prior`.
        latents: The latents themselves, each (B, ...) by the input's name; then all other
            arguments are ignored.
        fix: Values of inputs that are the same in every sample, by the input's name: numbers,
            or arrays of the input's shape.
        precision: Of the arithmetic, such as ``Precision.BF16``; what the server cannot run it
            refuses, and every result says what ran.
        encoding: ``"png"`` or ``"webp"`` for files of 8 bits a channel, the generator's range
            mapped to 0 to 255; None for an array.
    """

    model: str
    count: Annotated[int, Whole(1), Flag("--count", "N", "How many samples, at least 1.")] = 8
    seed: Annotated[int, Whole(), Flag("--seed", "S", "Decides the samples, 0 to 4294967295.")] = 0
    first: FirstPair = 0
    originals: Originals | None = None
    latents: Latents | None = None
    fix: FixedInputs = None
    precision: WantedPrecision = Precision.FP32
    encoding: WantedEncoding = None

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        said = {"model": self.model, "precision": self.precision, "encoding": self.encoding}
        if self.latents is not None:
            return {**said, "latents": single("latents", self.latents)}
        return {**said, "samples": Pairs.of(self)}


@dataclass(frozen=True, eq=False)
class PosteriorTask(Checked):
    """Images to encode: latents to infer.

    Args:
        model: The name of a model with an encoder.
        images: (B, H, W, c) uint8, of the generator's image size.
        precision: As of `generate`.
    """

    model: str
    images: NDArray[np.uint8]
    precision: WantedPrecision = Precision.FP32

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        return {**vars(self), "images": np.asarray(self.images)}


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Images of the generator.

    Args:
        images: (B, c, H, W) float32 in the generator's own range.
        latents: What they were made from, by the input's name.
        execution: What computed them.
    """

    images: Annotated[NDArray[np.float32], Axes("B c H W")]
    latents: Mapping[str, NDArray[np.generic]]
    execution: Execution

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return f"<Samples of {self.execution.version}: images {self.images.shape}>"

    def save(self, path: str | Path) -> None:
        """Write `images` and every latent by its name to an `.npz` file.

        Raises:
            OutputError: If the file cannot be written.
        """
        write_npz(path, {"images": self.images, **self.latents})


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
        return save_files(folder, {"": self.images}, self.encoding)


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """What the encoder infers from images.

    Args:
        mean: (B, ...) by the input's name.
        log_variance: The same shapes.
        execution: What computed it.
    """

    mean: Mapping[str, NDArray[np.generic]]
    log_variance: Mapping[str, NDArray[np.generic]]
    execution: Execution

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.mean.items())
        return f"<Posterior of {self.execution.version}: {shapes}>"

    def save(self, path: str | Path) -> None:
        """Write the means by their names, and each ``NAME_log_variance``, to an `.npz` file.

        Raises:
            OutputError: If the file cannot be written.
        """
        spread = {f"{name}_log_variance": array for name, array in self.log_variance.items()}
        write_npz(path, {**self.mean, **spread})
