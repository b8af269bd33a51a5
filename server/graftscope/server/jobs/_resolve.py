"""From a specification, which holds names and checksums, to what computes it.

It must not know gRPC or how jobs are scheduled.
"""

from dataclasses import dataclass

import numpy as np

from graftscope.bundle import Originals, read_originals
from graftscope.server.engine import (
    Catalogue,
    DrawnImagePairs,
    EncodedPairs,
    Generator,
    GivenImagePairs,
    GivenPairs,
    Latents,
    PairSource,
    PriorPairs,
    Subject,
    channel_set,
)
from graftscope.server.jobs._artifacts import ArtifactStore
from graftscope.server.jobs._specification import InfluenceSpec, OriginalsSpec


@dataclass(frozen=True)
class Resolver:
    """Finds models and arrays by their checksums."""

    catalogue: Catalogue
    artifacts: ArtifactStore

    def subject(self, spec: InfluenceSpec) -> Subject:
        """Whose influence a specification asks for.

        Raises:
            NotFound: the model is not served any more.
        """
        generator = self.catalogue.by_digest(spec.model)
        layer = generator.layer(spec.layer)
        sets = np.stack([channel_set(layer, np.array(x, dtype=np.int64)) for x in spec.sets])
        return Subject(generator, layer, sets, generator.areas(spec.map_size), spec.products)

    def pairs(self, generator: Generator, originals: OriginalsSpec, seed: int) -> PairSource:
        """Where a specification's pairs come from.

        Raises:
            NotFound: an array is not stored, or the model has no encoder.
            Corrupt: a stored array is damaged.
        """
        match originals.kind:
            case "prior":
                return PriorPairs(generator, seed)
            case "encoded":
                return EncodedPairs(generator, seed, self._originals(generator))
            case "images":
                images = self.artifacts.get(originals.arrays["images"])
                return DrawnImagePairs(generator, seed, images.astype(np.uint8, copy=False))
            case "image_pairs":
                first, second = (
                    self.artifacts.get(originals.arrays[name]).astype(np.uint8, copy=False)
                    for name in ("images1", "images2")
                )
                return GivenImagePairs(generator, first, second)
            case _:
                return GivenPairs(
                    self._latents(originals, "latents1"), self._latents(originals, "latents2")
                )

    @staticmethod
    def _originals(generator: Generator) -> Originals:
        return read_originals(generator.folder.path / generator.encoder().originals)

    def _latents(self, originals: OriginalsSpec, prefix: str) -> Latents:
        return {
            name.removeprefix(f"{prefix}/"): self.artifacts.get(ref)
            for name, ref in originals.arrays.items()
            if name.startswith(f"{prefix}/")
        }
