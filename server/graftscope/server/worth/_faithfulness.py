"""Faithfulness: whether modules' hybrids look like samples, and like real images (Definition 2).

A module is faithful if its hybrids are images that the generator could have made. Sets of hybrids
are compared with samples by what a network sees in them; beside them stand random sets of channels,
other samples (the floor: what as many samples differ by chance) and originals that are mixed in
pixels (the ceilings: what cannot be right). All sets are of the same pairs, so that their
differences are surer than each distance; the reference is of other pairs.

Axes: S sets, R references, K modules, N pairs, F features, Q kinds of controls.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    NEAREST,
    PAIRS_A_FEATURE,
    FeatureSet,
    Realism,
    latent_responses,
    realism,
)
from graftscope.server.engine import MIB, ImageFeatures, Latents, to_range
from graftscope.server.worth._compared_sets import (
    CONTROLS,
    FLOOR,
    MODULE,
    Beside,
    ComparedSet,
    compared_sets,
    images_of,
    places,
)
from graftscope.server.worth._comparisons import Comparisons
from graftscope.server.worth._making import Images, Making
from graftscope.server.worth._measure import Each, Found, batches
from graftscope.server.worth._modules import Modules

ENCODED_PAIRS = 512
"""At most so many hybrids of each set are encoded and decoded again, which takes as long as to make
them; the error of a mean over so many is a few parts in a hundred."""

_FLOAT_BYTES = 4
_DOUBLE_BYTES = 8
_COMPARING_BYTES = 512 * MIB


@dataclass(frozen=True, eq=False)
class _Piece:
    """What is kept of the images of some pairs.

    Attributes:
        features: (S, B, F).
        decoding: (B, S) root mean squared difference from its own decoding, a share of the range;
            None where nothing was encoded.
        changes: (B, K, Z) what modules change of the latents; None likewise.
    """

    features: NDArray[np.float32]
    decoding: NDArray[np.float64] | None
    changes: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """Compares modules' hybrids with samples, and with real images.

    Attributes:
        making: makes the images.
        layer: where channels are swapped.
        modules: whose hybrids.
        looks: gives the features of images.
        called: what results call that network.
        beside: what modules are compared with, beside samples.
        first: index of the first pair; as many that follow them are the reference.
        pairs: N.
        images: how many real images there are; at most N of them are compared with.
        data: reads them, (N, H, W, c) uint8.
        nearest: k, of precision, recall, density and coverage.
    """

    making: Making
    layer: str
    modules: Modules
    looks: ImageFeatures
    called: str
    beside: Beside
    first: int
    pairs: int
    images: int = 0
    data: Callable[[], NDArray[np.uint8]] | None = None
    nearest: int = NEAREST

    @cached_property
    def sets(self) -> list[ComparedSet]:
        """S sets, the modules first."""
        image = self.making.generator.manifest.image
        return compared_sets(self.modules, self.beside, (image.height, image.width))

    @property
    def references(self) -> tuple[str, ...]:
        """samples, and data where there are real images."""
        return ("samples", "data") if self.images else ("samples",)

    @property
    def pieces(self) -> int:
        """As `Measure.pieces`."""
        looked = 2 * len(self._batches(self.first)) + len(self._chosen_images())
        return looked + len(self.references) + len(self.sets)

    @property
    def hybrids(self) -> int:
        """As `Measure.hybrids`."""
        return self.pairs * sum(each.channels is not None for each in self.sets)

    @property
    def bytes(self) -> int:
        """As `Measure.bytes`."""
        image = self.making.generator.manifest.image
        features = self.pairs * self.looks.features
        held = 2 * len(self.sets) * features * _FLOAT_BYTES
        references = len(self.references) * (features + 4 * self.looks.features**2) * _DOUBLE_BYTES
        data = self.images * image.height * image.width * image.channels
        return held + references + data + _COMPARING_BYTES

    def run(self, each: Each) -> Found:
        """As `Measure.run`."""
        pieces = list(each(self._looked_at, self._batches(self.first)))
        references = [FeatureSet(x, self.nearest) for x in self._reference_features(each)]
        for _ in each(FeatureSet.prepare, references):
            pass  # What every comparison needs of them is computed once.
        features = np.concatenate([x.features for x in pieces], axis=1)  # (S, N, F)

        def compared(rows: NDArray[np.float32]) -> list[Realism]:
            one = FeatureSet(rows, self.nearest)
            return [realism(one, reference) for reference in references]

        table = list(each(compared, features))  # S times R
        return Found(
            {
                "module": np.array([x.module for x in self.sets], dtype=np.int64),
                "channels": np.array([x.size for x in self.sets], dtype=np.int64),
                **Comparisons(self.sets, table).arrays(),
                **_of_encoder(pieces),
            },
            {
                "kinds": [x.kind for x in self.sets],
                "references": list(self.references),
                "against": [x for x in CONTROLS if places(self.sets, x)],
                "features": self.called,
                "feature_count": self.looks.features,
                "neighbours": self.nearest,
                "images": min(self.images, self.pairs),
                "warning": self._warning(),
            },
        )

    def _batches(self, first: int) -> list[range]:
        return batches(first, self.pairs)

    def _chosen_images(self) -> list[NDArray[np.int64]]:
        """Which real images, at most N, in pieces; each at most once."""
        if not self.images:
            return []
        random = np.random.default_rng([self.beside.seed, len(CONTROLS)])
        # In random order: neighbours make up the groups that are left out.
        chosen = random.permutation(self.images)[: self.pairs]
        return [chosen[x.start : x.stop] for x in batches(0, len(chosen))]

    def _looked_at(self, pairs: range) -> _Piece:
        """Makes the images of some pairs of every set, and looks at them."""
        layer = self.making.layer(self.layer)
        encodes = self._has_encoder and pairs.start < self.first + ENCODED_PAIRS
        features: dict[int, NDArray[np.float32]] = {}
        encoded: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        latents = self.making.source.latents(pairs)[0]
        for place, images in images_of(self.making, layer, pairs, self.sets):
            features[place] = self._features(images)
            if encodes:
                encoded[place] = self._encoded(images, latents)
        stacked = np.stack([features[x] for x in range(len(self.sets))])
        if not encodes:
            return _Piece(stacked, None, None)
        floor = encoded[places(self.sets, FLOOR)[0]][0]
        changes = [encoded[x][0] - floor for x in places(self.sets, MODULE)]
        decoding = [encoded[x][1] for x in range(len(self.sets))]
        return _Piece(stacked, np.stack(decoding, axis=1), np.stack(changes, axis=1))

    def look(self, images: Images) -> None:
        """As `Measure.look`."""
        self._features(images)

    def _features(self, images: Images) -> NDArray[np.float32]:
        image = self.making.generator.manifest.image
        return self.looks(images, image.low, image.high)

    def _encoded(
        self, images: Images, latents: Latents
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The latents that the encoder finds, (B, Z), and how far what they give is off, (B,)."""
        found = self.making.encoded(images)
        name = self.making.generator.encoder().input
        off = (self.making.generated({**latents, name: found}) - images).astype(np.float64)
        root = np.sqrt(np.square(off).mean(axis=(1, 2, 3)))
        return found.reshape(len(found), -1).astype(np.float64), root / self.making.width

    @property
    def _has_encoder(self) -> bool:
        return self.making.generator.manifest.HasField("encoder")

    def _reference_features(self, each: Each) -> list[NDArray[np.float32]]:
        """Of samples of other pairs, and of real images, (M, F) each."""
        samples = each(self._sampled, self._batches(self.first + self.pairs))
        found = [np.concatenate(list(samples))]
        if self.data is not None and self.images:
            data, image = self.data(), self.making.generator.manifest.image

            def of_data(chosen: NDArray[np.int64]) -> NDArray[np.float32]:
                return self._features(to_range(data[chosen], image))

            found.append(np.concatenate(list(each(of_data, self._chosen_images()))))
        return found

    def _sampled(self, pairs: range) -> NDArray[np.float32]:
        return self._features(self.making.generated(self.making.source.latents(pairs)[0]))

    def _warning(self) -> str:
        images = min(self.pairs, self.images) if self.images else self.pairs
        needed = PAIRS_A_FEATURE * self.looks.features
        if images >= needed:
            return ""
        return (
            f"{images} images are few for {self.looks.features} features: Fréchet distances are"
            " too large, by about as much as the floor's; compare them with the floor alone, or"
            f" with {needed} pairs"
        )


def _of_encoder(pieces: Iterable[_Piece]) -> dict[str, NDArray[np.float64]]:
    """What only models with an encoder have."""
    decodings = [x.decoding for x in pieces if x.decoding is not None]
    changes = [x.changes for x in pieces if x.changes is not None]
    if not decodings:
        return {}
    decoding, responses = np.concatenate(decodings), latent_responses(np.concatenate(changes))
    return {
        "decoding": decoding.mean(axis=0),
        "decoding_stderr": decoding.std(axis=0, ddof=1) / np.sqrt(len(decoding)),
        "response": responses.shares,
        "response_stderr": responses.stderr,
    }
