"""Independence: whether modules act by themselves, and where they say.

Four questions. Does a hybrid stay as real if every module comes from another donor, as if all come
from one? Is the effect of two modules the sum of their effects? How much of what a module changes
falls outside of its own template? And do the kernels between successive layers know the spectrum of
the maps that they read?

Axes: S sets, K modules, T pairs of modules, L pairs of layers, N pairs of originals, B of a piece,
F features, c colours, H, W pixels, h, w those of a map of at most 128.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    PAIRS_A_FEATURE,
    REALISM_MEASURES,
    FeatureSet,
    Realism,
    area_means,
    image_regions,
    interaction,
    module_pairs,
    outside_sums,
    realism,
    template_regions,
)
from graftscope.server.engine import MIB
from graftscope.server.worth._independence_arrays import (
    DONOR,
    FLOOR,
    MIXTURE,
    MODULE,
    Piece,
    interaction_arrays,
    realism_arrays,
    spectral_found,
    spill_arrays,
)
from graftscope.server.worth._making import Images, Making
from graftscope.server.worth._measure import BATCH_PAIRS, Each, Found, batches
from graftscope.server.worth._mixtures import Donors
from graftscope.server.worth._modules import Modules
from graftscope.server.worth._networks import Looks
from graftscope.server.worth._successive_layers import (
    GROUPS,
    SuccessiveLayers,
    grouped,
    score,
)

MAP_SIDE = 128
"""No side of a map of interaction is longer."""

_IMAGES_BYTES = 256 * MIB
_COMPARING_BYTES = 512 * MIB
_FLOAT_BYTES, _DOUBLE_BYTES = 4, 8


@dataclass(frozen=True, eq=False)
class Independence:
    """Measures how far modules act by themselves, and where they say.

    Attributes:
        making: makes the images.
        layer: where channels are swapped.
        modules: whose independence.
        looks: gives the features of images.
        first: index of the first pair; as many that follow them are the reference.
        pairs: N.
        percentile: where templates are cut, as in `template_regions`.
        templates: reads the modules' templates, (more than the highest label, h, w); None takes
            each module's mean change in the first half of the pairs, and measures its spill in the
            second half.
    """

    making: Making
    layer: str
    modules: Modules
    looks: Looks
    first: int
    pairs: int
    percentile: float
    templates: Callable[[], NDArray[np.float64]] | None = None

    @property
    def kinds(self) -> list[str]:
        """S words: the mixture, all of one donor, each module alone, the floor."""
        return [MIXTURE, DONOR, *[MODULE] * len(self.modules), FLOOR]

    @property
    def pieces(self) -> int:
        """As `Measure.pieces`."""
        templates = 0 if self.templates is not None else len(self._half)
        looked = 2 * len(self._batches(self.first)) + templates
        return looked + 1 + len(self.kinds) + len(self._scored)

    @property
    def hybrids(self) -> int:
        """As `Measure.hybrids`."""
        modules = len(self.modules)
        templates = 0 if self.templates is not None else modules * (self.pairs // 2)
        return self.pairs * (2 + modules + len(self._two)) + templates

    @property
    def bytes(self) -> int:
        """As `Measure.bytes`."""
        features = self.pairs * self.looks.features
        held = 2 * len(self.kinds) * features * _FLOAT_BYTES
        reference = (features + 4 * self.looks.features**2) * _DOUBLE_BYTES
        pieces = len(self._batches(self.first))
        maps = pieces * len(self._two) * MAP_SIDE**2 * _DOUBLE_BYTES
        power = (pieces + GROUPS) * self._layers.bytes
        return held + reference + maps + power + _IMAGES_BYTES + _COMPARING_BYTES

    def run(self, each: Each) -> Found:
        """As `Measure.run`."""
        regions = self._regions(each)  # (K, H, W)

        def looked_at(pairs: range) -> Piece:
            return self._looked_at(pairs, regions)

        pieces = list(each(looked_at, self._batches(self.first)))
        return Found(
            {
                "module": np.array(self.modules.indices, dtype=np.int64),
                "channels": self.modules.sets.sum(axis=1, dtype=np.int64),
                **self._realism(each, np.concatenate([x.features for x in pieces], axis=1)),
                **interaction_arrays(len(self.modules), self.pairs, pieces),
                **spill_arrays(pieces, regions),
                **(spectral := self._spectral(each, pieces)).arrays,
            },
            {
                "kinds": self.kinds,
                "measures": list(REALISM_MEASURES),
                "features": self.looks.name,
                "feature_count": self.looks.features,
                "percentile": self.percentile,
                "spill_pairs": sum(x.spill.shape[2] for x in pieces),
                "warning": self._warning(),
                **spectral.scalars,
            },
        )

    @cached_property
    def _two(self) -> list[tuple[int, int]]:
        """T pairs of modules."""
        return module_pairs(len(self.modules))

    @cached_property
    def _layers(self) -> SuccessiveLayers:
        return SuccessiveLayers(self.making)

    @property
    def _scored(self) -> list[int]:
        """Which pairs of layers have kernels."""
        return [i for i, pair in enumerate(self._layers.pairs) if pair.kernels is not None]

    @property
    def _image_size(self) -> tuple[int, int]:
        image = self.making.generator.manifest.image
        return image.height, image.width

    def _batches(self, first: int) -> list[range]:
        image = self.making.generator.manifest.image
        # Originals, the hybrids of single modules, and those that come and go.
        held = (len(self.modules) + 5) * image.height * image.width * image.channels
        fits = _IMAGES_BYTES // (held * _DOUBLE_BYTES)
        # Of fewer pieces, spectra would have fewer groups than errors want.
        size = min(BATCH_PAIRS, -(-self.pairs // GROUPS), fits)
        return batches(first, self.pairs, max(1, size))

    @property
    def _half(self) -> list[range]:
        """The first half of the pairs, in the same pieces; at least one, and not all."""
        pieces = self._batches(self.first)
        return pieces[: max(1, len(pieces) // 2)]

    def _regions(self, each: Each) -> NDArray[np.float64]:
        """(K, H, W) inside of each module's template, 0 or 1."""
        if self.templates is not None:
            templates = self.templates()[list(self.modules.indices)]
        else:
            templates = np.sum(list(each(self._changed, self._half)), axis=0)
        return image_regions(template_regions(templates, self.percentile), *self._image_size)

    def _changed(self, pairs: range) -> NDArray[np.float64]:
        """(K, H, W) how much each module changes some pairs, summed over them."""
        original1, *hybrids = self._made(pairs, self.modules.sets)
        return np.stack([_change(original1, hybrid).sum(axis=0) for hybrid in hybrids])

    def _made(self, pairs: range, sets: NDArray[np.bool_]) -> Iterator[Images]:
        """Originals 1 and hybrids, by the same halves: what a hybrid does not change is equal."""
        nothing = np.zeros((1, sets.shape[1]), np.bool_)
        return self.making.hybrids(
            self.making.layer(self.layer), pairs, np.concatenate([nothing, sets])
        )

    def _looked_at(self, pairs: range, regions: NDArray[np.float64]) -> Piece:
        """Makes the images of some pairs of every set, and measures them."""
        layer, sets = self.making.layer(self.layer), self.modules.sets
        together = [sets[i] | sets[j] for i, j in self._two]
        made = self._made(pairs, np.stack([sets.any(axis=0), *sets, *together]))
        original1, donor = next(made), next(made)
        singles = [next(made) for _ in sets]
        mixed = Donors(self.making, self.first, self.pairs, len(sets)).mixed(layer, pairs, sets)
        features = np.stack(
            [self._features(images) for images in (mixed, donor, *singles, original1)]
        )
        maps, both = [], []
        for (i, j), images in zip(self._two, made, strict=True):
            found = interaction(original1, singles[i], singles[j], images)
            maps.append(area_means(found.total[np.newaxis], MAP_SIDE)[0])
            both.append(found.sums)
        spill = [
            outside_sums(_change(original1, single), inside)
            for single, inside in zip(singles, regions, strict=True)
        ]
        is_judged = self.templates is not None or pairs not in self._half
        size = area_means(np.zeros((1, *self._image_size)), MAP_SIDE).shape[1:]
        return Piece(
            features,
            np.array(maps).reshape(len(maps), *size),
            np.array(both).reshape(len(both), 2, len(pairs)),
            np.stack(spill)[:, :, slice(None) if is_judged else slice(0)],
            self._layers.power(self.making.source.latents(pairs)[0]),
        )

    def look(self, images: Images) -> None:
        """As `Measure.look`."""
        self._features(images)

    def _features(self, images: Images) -> NDArray[np.float32]:
        image = self.making.generator.manifest.image
        return self.looks(images, image.low, image.high)

    def _sampled(self, pairs: range) -> NDArray[np.float32]:
        return self._features(self.making.generated(self.making.source.latents(pairs)[0]))

    def _realism(self, each: Each, features: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Every set against samples, (S,), and how the mixture differs from others, (6,)."""
        samples = each(self._sampled, self._batches(self.first + self.pairs))
        (reference,) = each(_prepared, [np.concatenate(list(samples))])

        def compared(rows: NDArray[np.float32]) -> Realism:
            return realism(FeatureSet(rows), reference)

        return realism_arrays(self.kinds, list(each(compared, features)))

    def _spectral(self, each: Each, pieces: list[Piece]) -> Found:
        """(L,) the score of every two successive layers, or why there is none."""
        pairs, powers = self._layers.pairs, [x.power for x in pieces]
        scored = self._scored
        found = dict(
            zip(scored, each(lambda i: score(pairs[i], grouped(powers, i)), scored), strict=True)
        )
        return spectral_found(pairs, [found.get(i, (None, x.absent)) for i, x in enumerate(pairs)])

    def _warning(self) -> str:
        needed = PAIRS_A_FEATURE * self.looks.features
        if self.pairs >= needed:
            return ""
        return (
            f"{self.pairs} images are few for {self.looks.features} features: Fréchet distances are"
            " too large, by about as much as the floor's; only differences count, or ask for"
            f" {needed} pairs"
        )


def _prepared(rows: NDArray[np.float32]) -> FeatureSet:
    """Features, with what every comparison needs of them computed once."""
    found = FeatureSet(rows)
    _ = found.spread, found.kernel_sums, found.balls
    return found


def _change(original1: Images, hybrid: Images) -> NDArray[np.float64]:
    """(B, H, W) |hybrid - original 1|, summed over colours."""
    found: NDArray[np.float64] = np.abs(hybrid.astype(np.float64) - original1).sum(axis=1)
    return found
