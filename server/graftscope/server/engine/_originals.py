"""Where the two originals of every pair come from (sections 3.2 and 4), and their mean.

Pair i is the same whichever pairs are asked for with it, so shards can be computed in any order.
It must not know interventions, jobs or gRPC.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from graftscope.codec import in_range
from graftscope.server.analysis import Draws, Gaussian
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._generator import CHANNEL_AXES, Generator, Latents
from graftscope.server.engine._inputs import complete
from graftscope.server.engine._plan import choose_plan
from graftscope.server.errors import InvalidInput
from graftscope.v1 import bundle_pb2

PRIOR_MEAN_SAMPLES = 1024
"""Originals 1 of the first pairs of seed 0."""


class PairSource(Protocol):
    """Gives the latents of pairs."""

    @property
    def kind(self) -> str:
        """prior, encoded, images, latents or image_pairs."""

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """The latents of originals 1 and 2, by input's name, each (B, ...)."""

    def distinct_images(self, pairs: range) -> int:
        """How many different real images these pairs use; 0 where none are."""

    def photographs1(self, pairs: range) -> NDArray[np.uint8] | None:
        """The real images of originals 1, (B, H, W, c); None where there are none."""


@dataclass(frozen=True)
class PriorPairs:
    """Every input from the distribution that the bundle states.

    Attributes:
        generator: whose inputs.
        seed: of the draws.
        stratified: whether every 32 pairs are spread evenly over each dimension.
    """

    generator: Generator
    seed: int
    stratified: bool = False
    kind: str = "prior"

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """As `PairSource`."""
        first, second = _both(self.seed, pairs, self.stratified)
        return complete(self.generator, {}, first), complete(self.generator, {}, second)

    def distinct_images(self, pairs: range) -> int:
        """None are used."""
        return 0

    def photographs1(self, pairs: range) -> None:
        """There are none."""


@dataclass(frozen=True)
class EncodedPairs:
    """The encoder's input from a Gaussian fitted to the training images' encodings.

    Attributes:
        generator: whose inputs.
        seed: of the draws.
        encodings: the Gaussian.
        stratified: as of `PriorPairs`.
    """

    generator: Generator
    seed: int
    encodings: Gaussian
    stratified: bool = False
    kind: str = "encoded"

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """As `PairSource`."""
        name = self.generator.encoder().input
        shape = next(x.shape for x in self.generator.manifest.inputs if x.name == name)
        draws = _both(self.seed, pairs, self.stratified)
        rows = self.encodings.draw(name, *draws)
        first, second = (
            complete(self.generator, {name: encoded.reshape(-1, *shape)}, each)
            for encoded, each in zip(rows, draws, strict=True)
        )
        return first, second

    def distinct_images(self, pairs: range) -> int:
        """None are used: the Gaussian stands in for them."""
        return 0

    def photographs1(self, pairs: range) -> None:
        """There are none."""


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

    def photographs1(self, pairs: range) -> NDArray[np.uint8]:
        """As `PairSource`."""
        return self.images[self._indices(pairs)[0]]

    def _indices(self, pairs: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first, second = (each.images(len(self.images)) for each in _both(self.seed, pairs))
        return first, second


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

    def photographs1(self, pairs: range) -> None:
        """There are none."""


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
        # Sorting them would take several times their memory.
        given = (image for images in (self.images1, self.images2) for image in images[rows])
        return len({hashlib.sha256(image.tobytes()).digest() for image in given})

    def photographs1(self, pairs: range) -> NDArray[np.uint8]:
        """As `PairSource`."""
        return self.images1[pairs.start : pairs.stop]


@dataclass(frozen=True, eq=False)
class ConstrainedPairs:
    """Another source's pairs with what they leave out, have in common, and all samples share.

    Attributes:
        source: where the pairs come from; inputs that it leaves out are drawn from the prior.
        generator: whose inputs.
        seed: of those draws.
        share: names of inputs of which original 2 takes original 1's value.
        fix: (1, ...) each, the value of every sample, whatever the source says.
    """

    source: PairSource
    generator: Generator
    seed: int
    share: frozenset[str] = frozenset()
    fix: Latents = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The source's."""
        return self.source.kind

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """As `PairSource`."""
        fixed = {name: np.repeat(value, len(pairs), axis=0) for name, value in self.fix.items()}
        draws1, draws2 = _both(self.seed, pairs)
        first, second = self.source.latents(pairs)
        first = complete(self.generator, {**first, **fixed}, draws1)
        shared = {name: first[name] for name in self.share}
        second = {**second, **fixed, **shared}
        return first, complete(self.generator, second, draws2)

    def distinct_images(self, pairs: range) -> int:
        """As `PairSource`."""
        return self.source.distinct_images(pairs)

    def photographs1(self, pairs: range) -> NDArray[np.uint8] | None:
        """As `PairSource`."""
        return self.source.photographs1(pairs)


def photograph_input(generator: Generator) -> bundle_pb2.Input | None:
    """The input that real images are, in a generator from images to images; None for others.

    It is the only one that takes images, of the size of the generator's own, and there is no
    encoder whose business they are.
    """
    image = generator.manifest.image
    size = [image.channels, image.height, image.width]
    taken = [x for x in generator.manifest.inputs if x.HasField("pictures")]
    if generator.manifest.HasField("encoder") or len(taken) != 1:
        return None
    return taken[0] if list(taken[0].shape) == size and taken[0].datatype == "FP32" else None


def image_input(generator: Generator) -> str:
    """Name of the input that images decide, through the encoder or by being it.

    Raises:
        NotFound: there is none.
    """
    direct = photograph_input(generator)
    return generator.encoder().input if direct is None else direct.name


def encode(generator: Generator, images: NDArray[np.uint8]) -> Latents:
    """Real images to the posterior's mean, or to the input that takes them as they are.

    Args:
        generator: one with an encoder, or from images to images.
        images: (B, H, W, c), 0 to 255.

    Returns:
        The input that images decide; others are left out.
    """
    direct = photograph_input(generator)
    if direct is not None:
        channels, height, width = direct.shape
        wanted = direct.pictures
        form = bundle_pb2.Image(
            channels=channels, height=height, width=width, low=wanted.low, high=wanted.high
        )
        return {direct.name: to_range(images, form)}
    mean, *_ = generator.encode(to_range(images, generator.manifest.image))
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
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return in_range(planes, image.low, image.high)


def prior_mean(
    generator: Generator, layer: bundle_pb2.Layer, cancellation: Cancellation | None = None
) -> NDArray[np.float32]:
    """Means over places and samples, summed in float64: (C,). Computed once a layer and kept.

    Args:
        generator: whose prior.
        layer: whose channels.
        cancellation: what may stop it.

    Raises:
        Cancelled: it was stopped.
    """
    return generator.memo.get(_mean_key(layer), lambda: _compute(generator, layer, cancellation))


def has_prior_mean(generator: Generator, layer: bundle_pb2.Layer) -> bool:
    """Whether that is computed already."""
    return _mean_key(layer) in generator.memo


def _mean_key(layer: bundle_pb2.Layer) -> str:
    return f"prior mean/{layer.name}"


def _compute(
    generator: Generator, layer: bundle_pb2.Layer, cancellation: Cancellation | None
) -> NDArray[np.float32]:
    source = PriorPairs(generator, seed=0)
    batch = choose_plan(generator, layer, 1).batch
    means = []
    for start in range(0, PRIOR_MEAN_SAMPLES, batch):
        latents, _ = source.latents(range(start, start + batch))
        activation = generator.record(layer, latents, cancellation).activation.numpy()
        places = set(range(1, activation.ndim)) - {CHANNEL_AXES[layer.kind]}
        means.append(activation.mean(axis=tuple(places), dtype=np.float64))  # (B, C)
    return np.asarray(np.concatenate(means).mean(axis=0)).astype(np.float32)


def _both(seed: int, pairs: range, stratified: bool = False) -> tuple[Draws, Draws]:
    """Draws for originals 1 and 2."""
    return Draws(seed, pairs, 1, stratified), Draws(seed, pairs, 2, stratified)


def _rows(latents: Latents, pairs: range) -> Latents:
    return {name: array[pairs.start : pairs.stop] for name, array in latents.items()}
