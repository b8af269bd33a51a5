"""Images of pairs: originals, hybrids of sets of channels, and mixtures of several donors.

Images are float32, (B, c, H, W), in the generator's own range. Runs wait for their turn behind
interactive calls, and are stopped with what the calling thread works for. It must not know what the
images are for.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import (
    CHANNEL_AXES,
    Generator,
    Latents,
    PairSource,
    cancellation_here,
    largest_run_bytes,
    samples_a_run,
)
from graftscope.v1 import bundle_pb2

Images: TypeAlias = NDArray[np.float32]
Crossing: TypeAlias = dict[str, NDArray[np.generic]]
"""What crosses a cut, by its names in the graph: the activation, and what is carried beside it."""

_Given = ParamSpec("_Given")
_Value = TypeVar("_Value")


@dataclass(frozen=True, eq=False)
class Making:
    """Makes images of one generator's pairs.

    Attributes:
        generator: whose images.
        source: where the pairs come from.
    """

    generator: Generator
    source: PairSource

    def layer(self, name: str) -> bundle_pb2.Layer:
        """The layer, or the level, of this name. Raises as `Generator.layer`."""
        return self.generator.layer(name)

    @property
    def width(self) -> float:
        """Of the image's range."""
        image = self.generator.manifest.image
        return image.high - image.low

    @property
    def run_bytes(self) -> int:
        """What one run takes of memory."""
        return largest_run_bytes(self.generator)

    @cached_property
    def _samples_a_run(self) -> int:
        return samples_a_run(self.generator)

    def originals(self, pairs: range) -> tuple[Images, Images]:
        """Originals 1 and 2 of some pairs, as the whole generator makes them."""
        first, second = self.source.latents(pairs)
        return self.generated(first), self.generated(second)

    def generated(self, latents: Latents) -> Images:
        """Images of given latents, (B, ...) by the input's name."""
        return np.concatenate(
            [self._turn(self.generator.generate, part) for part in self._parts(latents)]
        )

    def encoded(self, images: Images) -> NDArray[np.float32]:
        """The mean of the encoder's posterior of images, (B, ...) of its input's shape.

        Raises:
            NotFound: the model has no encoder.
        """
        starts = range(0, len(images), self._samples_a_run)
        parts = [images[start : start + self._samples_a_run] for start in starts]
        return np.concatenate([self._turn(self.generator.encode, part)[0] for part in parts])

    def above(self, layer: bundle_pb2.Layer, latents: Latents) -> Crossing:
        """What crosses the cut at a layer while images are made of latents, (B, ...) each."""
        made = []
        for part in self._parts(latents):
            recording = self._turn(self.generator.record, layer, part)
            crossing = {layer.tensor: recording.activation, **recording.carried}
            made.append({name: value.numpy() for name, value in crossing.items()})
        return {name: np.concatenate([each[name] for each in made]) for name in made[0]}

    def below(self, layer: bundle_pb2.Layer, crossing: Mapping[str, NDArray[np.generic]]) -> Images:
        """Images of what crosses the cut; what has one row for all samples stays as it is."""
        return np.concatenate(
            [
                self._turn(self.generator.continued, layer, part).numpy()
                for part in self._parts(crossing)
            ]
        )

    def hybrids(
        self, layer: bundle_pb2.Layer, pairs: range, sets: NDArray[np.bool_]
    ) -> Iterator[Images]:
        """For each set, the hybrids of some pairs: original 1 with its channels of original 2.

        Args:
            layer: where channels are swapped.
            pairs: which pairs.
            sets: (S, C); an empty set gives original 1.

        Yields:
            (B, c, H, W), one set after another.
        """
        one, two = (self.above(layer, latents) for latents in self.source.latents(pairs))
        for channels in sets:
            yield self.below(layer, spliced(layer, one, [(channels, two)]))

    def mixture(
        self,
        layer: bundle_pb2.Layer,
        recipient: Latents,
        donors: Sequence[tuple[NDArray[np.bool_], Latents]],
    ) -> Images:
        """A sample with channels of several donors; what is carried stays the recipient's.

        Args:
            layer: where channels are swapped.
            recipient: its latents, (B, ...) each.
            donors: (C,) which channels each gives, and its latents; of two that give one channel
                the later one does.
        """
        given = [(channels, self.above(layer, latents)) for channels, latents in donors]
        return self.below(layer, spliced(layer, self.above(layer, recipient), given))

    def seconds_a_hybrid(
        self, layer: bundle_pb2.Layer, first: int, look: Callable[[Images], None]
    ) -> float:
        """How long one takes on one thread, and a look at it: a few are made and looked at."""
        pairs = range(first, first + min(8, self._samples_a_run))
        everything = np.ones((1, layer.channels), dtype=np.bool_)
        for images in self.hybrids(layer, pairs, everything):
            look(images)  # Sessions are opened.
        began = time.perf_counter()
        for images in self.hybrids(layer, pairs, everything):
            look(images)
        return (time.perf_counter() - began) / len(pairs)

    def _turn(
        self, run: Callable[_Given, _Value], *given: _Given.args, **named: _Given.kwargs
    ) -> _Value:
        with self.generator.turns.turn(cancellation_here()):
            return run(*given, **named)

    def _parts(self, arrays: Mapping[str, NDArray[np.generic]]) -> Iterator[Crossing]:
        """Rows of arrays, no more than go into one run."""
        count = max((len(x) for x in arrays.values() if x.ndim), default=1)
        for start in range(0, count, self._samples_a_run):
            rows = slice(start, start + self._samples_a_run)
            yield {name: x[rows] if x.ndim and len(x) == count else x for name, x in arrays.items()}


def spliced(
    layer: bundle_pb2.Layer,
    recipient: Mapping[str, NDArray[np.generic]],
    donors: Sequence[tuple[NDArray[np.bool_], Mapping[str, NDArray[np.generic]]]],
) -> Crossing:
    """What crosses a cut, with some channels of the activation taken from donors.

    Args:
        layer: where.
        recipient: what crosses while it is made; what is carried stays its own.
        donors: (C,) which channels each gives, and what crosses while it is made.
    """
    activation = recipient[layer.tensor].copy()
    channels_last = np.moveaxis(activation, CHANNEL_AXES[layer.kind], -1)  # a view
    for channels, crossing in donors:
        given = np.moveaxis(crossing[layer.tensor], CHANNEL_AXES[layer.kind], -1)
        channels_last[..., channels] = given[..., channels]
    return {**recipient, layer.tensor: activation}
