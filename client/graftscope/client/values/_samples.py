"""Samples and encodings: what to generate or to encode while one waits, and what comes of it.

Axis letters: B samples, c colours, H, W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Arrays,
    Axes,
    By,
    Checked,
    Drawn,
    Flag,
    Gridded,
    Latents,
    Saved,
    Source,
    Whole,
    pictures,
    taken,
)
from graftscope.client.errors import InputError
from graftscope.client.values._contents import model_version
from graftscope.client.values._encoding import ImageEncoding, SavedFiles, WantedEncoding
from graftscope.client.values._execution import Execution, Precision, WantedPrecision
from graftscope.client.values._pairs import (
    MOST_PAIRS,
    FirstPair,
    FixedInputs,
    Originals,
    Pairs,
    single,
)

_SPREAD = "_log_variance"
"""What a posterior's second array is called after its first, in files."""


@dataclass(frozen=True, eq=False, repr=False)
class SamplesTask(Checked):
    """Samples to generate: originals of pairs, or what given latents make.

    Args:
        model: The model's name.
        count: How many, at least 1.
        seed: Any number in [0, 2^32).
        first: Index of the first sample; sample i of a seed is always the same.
        original: 1 or 2: sample i is this original of pair i, as `hybridize` has it.
        originals: Where latents come from; None for `Encoded` where the bundle has encodings,
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
    count: Annotated[
        int, Whole(1, MOST_PAIRS), Flag("--count", "N", "How many samples, at least 1.")
    ] = 8
    seed: Annotated[int, Whole(), Flag("--seed", "S", "Decides the samples, 0 to 4294967295.")] = 0
    first: FirstPair = 0
    original: Annotated[
        int,
        Whole(1, 2),
        Flag(
            "--original",
            "1|2",
            "Which original of the pairs: sample i of a seed is this original of pair i of "
            "`graftscope hybridize` with the same seed.",
        ),
    ] = 1
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
        return {**said, "samples": Pairs.of(self), "original": self.original}


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorTask(Checked):
    """Images to encode: latents to infer.

    Args:
        model: The name of a model with an encoder.
        images: (B, H, W, c) uint8, of the generator's image size.
        precision: As of `generate`.
    """

    model: str
    images: Annotated[NDArray[np.uint8], By(pictures)]
    precision: WantedPrecision = Precision.FP32

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        return {**vars(self), "images": np.asarray(self.images)}


@dataclass(frozen=True, eq=False, repr=False)
class Samples(Saved, Drawn, Gridded):
    """Images of the generator.

    In a file `images`, and every latent by its name; where an input is itself called ``images``,
    the generator's are called ``samples``.

    Args:
        images: (B, c, H, W) float32 in the generator's own range.
        latents: What they were made from, by the input's name.
        execution: What computed them.
        model: The model's name.
        image_range: (low, high) of the generator's images; none where a file does not say.
    """

    images: Annotated[NDArray[np.float32], Axes("B c H W")]
    latents: Mapping[str, NDArray[np.generic]]
    execution: Execution
    model: str = ""
    image_range: tuple[float, ...] = ()

    IN_ARRAYS: ClassVar = ("latents",)

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        of = model_version(self.model, self.execution)
        return f"<Samples of {of}: images {self.images.shape}>"

    def arrays(self) -> Arrays:
        """As `Saved.arrays`; with the latents."""
        name = "samples" if "images" in self.latents else "images"
        return {name: self.images, **self.latents}

    @classmethod
    def _of_arrays(cls, arrays: Arrays) -> dict[str, Any]:
        name = "samples" if "samples" in arrays and "images" in arrays else "images"
        latents = {each: array for each, array in arrays.items() if each != name}
        images = super()._of_arrays({"images": taken(arrays, name)})
        return {**images, "latents": latents}

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        return {"execution": Execution.not_said()}


@dataclass(frozen=True, eq=False, repr=False)
class SampleFiles(SavedFiles, Drawn):
    """Images of the generator, as files.

    Args:
        images: A file for every sample.
        encoding: Their format.
        latents: What they were made from, by the input's name.
        execution: What computed them.
        model: The model's name.
    """

    images: list[bytes]
    encoding: ImageEncoding
    latents: Mapping[str, NDArray[np.generic]]
    execution: Execution
    model: str = ""

    FILES: ClassVar = {"images": ""}
    BESIDE: ClassVar = "samples.npz"
    IN_ARRAYS: ClassVar = ("images", "latents")

    def __repr__(self) -> str:
        """Tell what it is, without its bytes."""
        of = model_version(self.model, self.execution)
        return f"<SampleFiles of {of}: {len(self.images)} images, {self.encoding}>"

    def arrays(self) -> Arrays:
        """The latents."""
        return dict(self.latents)

    @classmethod
    def _of_arrays(cls, arrays: Arrays) -> dict[str, Any]:
        return {"latents": arrays}

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        return {"execution": Execution.not_said()}


@dataclass(frozen=True, eq=False, repr=False)
class Posterior(Saved, Gridded):
    """What the encoder infers from images.

    In a file the means by their names, and each ``NAME_log_variance``.

    Args:
        mean: (B, ...) by the input's name.
        log_variance: The same shapes; empty where the encoder tells the mean alone.
        execution: What computed it.
        model: The model's name.
    """

    mean: Mapping[str, NDArray[np.generic]]
    log_variance: Mapping[str, NDArray[np.generic]]
    execution: Execution
    model: str = ""

    IN_ARRAYS: ClassVar = ("mean", "log_variance")

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.mean.items())
        return f"<Posterior of {model_version(self.model, self.execution)}: {shapes}>"

    def arrays(self) -> Arrays:
        """The means by their names, and each ``NAME_log_variance``."""
        spread = {f"{name}{_SPREAD}": array for name, array in self.log_variance.items()}
        if both := sorted(set(self.mean) & set(spread)):
            raise InputError(f"inputs whose arrays are both called {both[0]!r} have no file")
        return {**self.mean, **spread}

    @classmethod
    def _of_arrays(cls, arrays: Arrays) -> dict[str, Any]:
        # An input may be called so itself: what has a mean of its own is no spread.
        names = [name for name in arrays if f"{name}{_SPREAD}" in arrays]
        if not names:
            raise InputError(f"no array NAME{_SPREAD}; it has: {', '.join(arrays) or 'no arrays'}")
        return {
            "mean": {name: arrays[name] for name in names},
            "log_variance": {name: arrays[f"{name}{_SPREAD}"] for name in names},
        }

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        return {"execution": Execution.not_said()}
