"""Where the originals of a job's pairs come from, as plain values.

It must not know what is done with the pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from graftscope.server.jobs._artifact_store import ArrayRef


@dataclass(frozen=True)
class OriginalsSpec:
    """Where originals come from.

    Attributes:
        kind: prior, encoded, images, latents or image_pairs.
        arrays: what the kind needs: `images`; `latents1/NAME` and `latents2/NAME`; `images1` and
            `images2`. And `fix/NAME`, (1, ...), of inputs that are the same in every sample.
        share: names of inputs of which original 2 takes original 1's value, sorted.
        stratified: whether every 32 pairs are spread evenly over each dimension of the latents.
    """

    kind: str
    arrays: Mapping[str, ArrayRef]
    share: tuple[str, ...] = ()
    stratified: bool = False

    def latents(self, prefix: str) -> dict[str, ArrayRef]:
        """Latents by the input's name: of `latents1`, `latents2` or `fix`."""
        start = f"{prefix}/"
        return {
            name.removeprefix(start): ref
            for name, ref in self.arrays.items()
            if name.startswith(start)
        }
