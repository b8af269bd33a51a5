"""From a specification, which holds names and checksums, to what computes it.

It must not know gRPC or how jobs are scheduled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.bundle import read_originals
from graftscope.sandbox import Sandbox
from graftscope.server.analysis import Draws, Gaussian
from graftscope.server.engine import (
    Catalogue,
    ChannelSets,
    ConstrainedPairs,
    Donor,
    DrawnImagePairs,
    Edit,
    EncodedPairs,
    Generator,
    GivenImagePairs,
    GivenPairs,
    Intervention,
    Interventions,
    Latents,
    LayeredSets,
    PairSource,
    PriorPairs,
    Subject,
    channel_set,
    complete,
    encode,
)
from graftscope.server.jobs._artifact_store import ArrayRef, ArtifactStore
from graftscope.server.jobs._originals_spec import OriginalsSpec
from graftscope.server.jobs._specification import (
    EditSpec,
    InfluenceSpec,
    InterventionSpec,
)

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Resolver:
    """Finds models and arrays by their checksums.

    Attributes:
        catalogue: the models.
        artifacts: the arrays.
        sandbox: where networks that callers bring are tried; None for one with the limits of the
            environment.
    """

    catalogue: Catalogue
    artifacts: ArtifactStore
    sandbox: Sandbox | None = None

    def subject(self, spec: InfluenceSpec) -> Subject:
        """Whose influence a specification asks for.

        Raises:
            NotFound: the model is not served any more.
        """
        generator = self.catalogue.by_digest(spec.model)
        areas = generator.areas(spec.map_size)
        if spec.interventions:
            made = tuple(
                self.intervention(generator, x, spec.originals) for x in spec.interventions
            )
            return Interventions(generator, made, areas, spec.products)
        if spec.each_layer:
            return self._layered(generator, spec)
        layer = generator.layer(spec.layer)
        sets = np.stack([channel_set(layer, np.array(x, dtype=np.int64)) for x in spec.sets])
        return ChannelSets(generator, layer, sets, areas, spec.products)

    @staticmethod
    def _layered(generator: Generator, spec: InfluenceSpec) -> LayeredSets:
        areas = generator.areas(spec.map_size)
        parts = []
        for each in spec.each_layer:
            layer = generator.layer(each.layer)
            single = np.stack([channel_set(layer, np.array([c])) for c in range(layer.channels)])
            parts.append(ChannelSets(generator, layer, single, areas, spec.products))
        return LayeredSets(generator, tuple(parts), spec.products)

    def intervention(
        self, generator: Generator, edits: InterventionSpec, originals: OriginalsSpec
    ) -> Intervention:
        """An intervention with its arrays.

        Args:
            generator: on which it is made.
            edits: what is assigned.
            originals: what they fix holds for donors too, which leave it out.

        Raises:
            NotFound: an array is not stored, or the model has no encoder.
            Corrupt: a stored array is damaged.
        """
        return tuple(self._edit(generator, edit, originals) for edit in edits)

    def pairs(self, generator: Generator, originals: OriginalsSpec, seed: int) -> PairSource:
        """Where a specification's pairs come from.

        Args:
            generator: whose inputs.
            originals: where they come from, and what they have in common.
            seed: of the pairs.

        Raises:
            NotFound: an array is not stored, or the model has no encoder.
            Corrupt: a stored array is damaged.
        """
        source, fix = self._source(generator, originals, seed), self._latents(originals, "fix")
        return ConstrainedPairs(source, generator, seed, frozenset(originals.share), fix)

    def _source(self, generator: Generator, originals: OriginalsSpec, seed: int) -> PairSource:
        match originals.kind:
            case "prior":
                return PriorPairs(generator, seed, originals.stratified)
            case "encoded":
                encodings = self._encodings(generator)
                return EncodedPairs(generator, seed, encodings, originals.stratified)
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
    def _encodings(generator: Generator) -> Gaussian:
        """Read and factorised once a generator."""

        def factorised() -> Gaussian:
            path = generator.folder.path / generator.encoder().originals
            return Gaussian.of(*read_originals(path))

        return generator.memo.get("encodings", factorised)

    def _latents(self, originals: OriginalsSpec, prefix: str) -> Latents:
        return self._arrays(originals.latents(prefix))

    def _arrays(self, refs: Mapping[str, ArrayRef]) -> dict[str, NDArray[np.generic]]:
        return {name: self.artifacts.get(ref) for name, ref in refs.items()}

    def _edit(self, generator: Generator, edit: EditSpec, originals: OriginalsSpec) -> Edit[Array]:
        made = edit.with_arrays(self.artifacts.get)
        if made.donor is None or made.donor.is_original2:
            return made
        return replace(made, donor=self._donor(generator, made.donor, originals))

    def _donor(
        self, generator: Generator, donor: Donor[Array], originals: OriginalsSpec
    ) -> Donor[Array]:
        """Noise that a donor leaves out is that of an original 2 of its own."""
        given: Latents = donor.arrays
        if donor.kind == "image":
            given = encode(generator, given["image"].astype(np.uint8, copy=False))
        given = {**self._latents(originals, "fix"), **given}
        return Donor("latents", complete(generator, given, Draws(0, range(1), 2)))
