"""Where the two originals of every pair come from (sections 3.2 and 4).

Pair i is the same whichever pairs are asked for with it, so shards can be computed in any order.
It must not know jobs or gRPC.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from graftscope.bundle import Originals
from graftscope.server.analysis import Which, gaussian, image_indices, standard_normal, uniform
from graftscope.server.analysis import class_labels as draw_labels
from graftscope.server.engine._generator import Generator, Latents
from graftscope.server.errors import InvalidInput, Unsupported
from graftscope.v1 import bundle_pb2

_DTYPES = {"FP32": np.float32, "INT64": np.int64, "INT32": np.int32}


class PairSource(Protocol):
    """Gives the latents of pairs."""

    @property
    def kind(self) -> str:
        """prior, encoded, images, latents or image_pairs."""

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """The latents of originals 1 and 2, by input's name, each (B, ...)."""

    def distinct_images(self, pairs: range) -> int:
        """How many different real images these pairs use; 0 where none are."""


@dataclass(frozen=True)
class PriorPairs:
    """Every input from the distribution that the bundle states."""

    generator: Generator
    seed: int
    kind: str = "prior"

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """As `PairSource`."""
        return self._draw(pairs, 1), self._draw(pairs, 2)

    def distinct_images(self, pairs: range) -> int:
        """None are used."""
        return 0

    def _draw(self, pairs: range, which: Which) -> Latents:
        inputs = self.generator.manifest.inputs
        return {value.name: draw(value, self.seed, pairs, which) for value in inputs}


@dataclass(frozen=True)
class EncodedPairs:
    """The encoder's input from a Gaussian fitted to the training images' encodings."""

    generator: Generator
    seed: int
    originals: Originals
    kind: str = "encoded"

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """As `PairSource`."""
        return self._draw(pairs, 1), self._draw(pairs, 2)

    def distinct_images(self, pairs: range) -> int:
        """None are used: the Gaussian stands in for them."""
        return 0

    def _draw(self, pairs: range, which: Which) -> Latents:
        encoder = self.generator.encoder()
        drawn: dict[str, NDArray[np.generic]] = {}
        for value in self.generator.manifest.inputs:
            if value.name == encoder.input:
                rows = gaussian(
                    self.seed,
                    pairs,
                    which,
                    value.name,
                    self.originals.mean,
                    self.originals.covariance,
                )
                drawn[value.name] = rows.reshape(-1, *value.shape)
            else:
                drawn[value.name] = draw(value, self.seed, pairs, which)
        return drawn


@dataclass(frozen=True, eq=False)
class DrawnImagePairs:
    """Real images, drawn independently with replacement, encoded to the posterior's mean."""

    generator: Generator
    seed: int
    images: NDArray[np.uint8]
    kind: str = "images"

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """As `PairSource`."""
        first, second = self._indices(pairs)
        return encode(self.generator, self.images[first]), encode(
            self.generator, self.images[second]
        )

    def distinct_images(self, pairs: range) -> int:
        """As `PairSource`."""
        return len(np.unique(np.concatenate(self._indices(pairs))))

    def _indices(self, pairs: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        count = len(self.images)
        return image_indices(self.seed, pairs, 1, count), image_indices(self.seed, pairs, 2, count)


@dataclass(frozen=True, eq=False)
class GivenPairs:
    """Exactly these latents."""

    latents1: Latents
    latents2: Latents
    kind: str = "latents"

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """As `PairSource`."""
        return _rows(self.latents1, pairs), _rows(self.latents2, pairs)

    def distinct_images(self, pairs: range) -> int:
        """None are used."""
        return 0


@dataclass(frozen=True, eq=False)
class GivenImagePairs:
    """Exactly these images, through the encoder."""

    generator: Generator
    images1: NDArray[np.uint8]
    images2: NDArray[np.uint8]
    kind: str = "image_pairs"

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """As `PairSource`."""
        rows = slice(pairs.start, pairs.stop)
        return encode(self.generator, self.images1[rows]), encode(
            self.generator, self.images2[rows]
        )

    def distinct_images(self, pairs: range) -> int:
        """As `PairSource`."""
        rows = slice(pairs.start, pairs.stop)
        return len(np.unique(np.concatenate([self.images1[rows], self.images2[rows]]), axis=0))


def draw(value: bundle_pb2.Input, seed: int, pairs: range, which: Which) -> NDArray[np.generic]:
    """Draws one input from its distribution: (B, ...).

    Raises:
        Unsupported: the distribution is not implemented yet.
    """
    shape = tuple(value.shape)
    match value.WhichOneof("distribution"):
        case "normal":
            return standard_normal(seed, pairs, which, value.name, shape)
        case "uniform":
            low, high = value.uniform.low, value.uniform.high
            return uniform(seed, pairs, which, value.name, shape, low, high)
        case "classes":
            labels = draw_labels(seed, pairs, which, value.name, value.classes.count)
            return labels.reshape(-1, *shape).astype(_DTYPES[value.datatype])
        case other:
            raise Unsupported(
                f"input {value.name!r} has the distribution {other!r}, which is not implemented "
                "yet; implemented are normal, uniform and classes",
                field="pairs.originals",
            )


def encode(generator: Generator, images: NDArray[np.uint8]) -> Latents:
    """Real images to the posterior's mean.

    Args:
        generator: one with an encoder whose latent is its only input.
        images: (B, H, W, c), 0 to 255.
    """
    mean, _ = generator.encode(to_range(images, generator.manifest.image))
    return {generator.encoder().input: mean}


def to_range(images: NDArray[np.uint8], image: bundle_pb2.Image) -> NDArray[np.float32]:
    """(B, H, W, c) bytes to (B, c, H, W) in the generator's own range.

    Raises:
        InvalidInput: the images are not of the generator's size.
    """
    wanted = (image.height, image.width, image.channels)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != wanted:
        raise InvalidInput(
            f"images are {images.dtype} of shape {images.shape}; uint8 of shape "
            f"(B, {', '.join(map(str, wanted))}) is needed",
            field="images",
        )
    unit = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(unit * np.float32(image.high - image.low) + np.float32(image.low))


def check_latents(generator: Generator, latents: Latents, field: str) -> int:
    """Checks given latents against the generator's inputs.

    Returns:
        B, the number of samples.

    Raises:
        InvalidInput: names, shapes or types do not fit, or a value is NaN or infinite.
    """
    wanted = {value.name: value for value in generator.manifest.inputs}
    if set(latents) != set(wanted):
        raise InvalidInput(
            f"{field} holds {', '.join(sorted(latents)) or 'nothing'}; the generator's inputs are: "
            f"{', '.join(wanted)}",
            field=field,
        )
    for name, array in latents.items():
        _check_input(wanted[name], array, f"{field}[{name}]")
    sizes = {len(array) for array in latents.values()}
    if len(sizes) != 1 or not min(sizes):
        raise InvalidInput(
            f"{field} holds {' and '.join(map(str, sorted(sizes)))} samples; every input needs the "
            "same number, at least 1",
            field=field,
        )
    return sizes.pop()


def _check_input(value: bundle_pb2.Input, array: NDArray[np.generic], field: str) -> None:
    dtype = _DTYPES[value.datatype]
    shape = tuple(value.shape)
    if array.dtype != dtype or array.shape[1:] != shape or array.ndim != len(shape) + 1:
        raise InvalidInput(
            f"{field} is {array.dtype} of shape {array.shape}; {np.dtype(dtype)} of shape "
            f"({', '.join(['B', *map(str, shape)])}) is needed",
            field=field,
        )
    if np.issubdtype(dtype, np.floating) and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InvalidInput(
            f"{field} holds {array[where]} at {list(where)}; all values must be finite", field=field
        )
    if value.HasField("classes"):
        labels = array.astype(np.int64)
        if labels.min() < 0 or labels.max() >= value.classes.count:
            raise InvalidInput(
                f"{field} holds labels from {labels.min()} to {labels.max()}; "
                f"0 to {value.classes.count - 1} are allowed",
                field=field,
            )


def _rows(latents: Latents, pairs: range) -> Latents:
    return {name: array[pairs.start : pairs.stop] for name, array in latents.items()}
