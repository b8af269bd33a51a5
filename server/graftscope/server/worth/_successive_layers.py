"""Every two successive layers of a generator, and how independent their kernels are of their maps.

Letters: B samples, C channels, (H, W) the map, G groups of samples, L pairs of layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.graph import GraphError, kernels_between
from graftscope.server.analysis import (
    InvalidInputError,
    Kernels,
    SpectralScore,
    power_spectra,
    spectral_independence,
)
from graftscope.server.engine import Latents
from graftscope.server.worth._making import Making
from graftscope.v1 import bundle_pb2

IMAGE = "image"
"""What comes behind the last layer."""

GROUPS = 32
"""Groups of samples that are left out in turn, for standard errors."""

_DOUBLE_BYTES = 8


@dataclass(frozen=True, eq=False)
class LayerPair:
    """A layer and the next one, or the image.

    Attributes:
        upper: the layer whose maps are read.
        lower: name of the next one.
        kernels: what leads from the one to the other; None where no convolution does.
        absent: why there are none; else empty.
    """

    upper: bundle_pb2.Layer
    lower: str
    kernels: Kernels | None
    absent: str = ""


@dataclass(frozen=True, eq=False)
class SuccessiveLayers:
    """Those of a generator, from its latents to the image.

    Attributes:
        making: makes what crosses the cuts.
    """

    making: Making

    @cached_property
    def pairs(self) -> list[LayerPair]:
        """L pairs, in the order of the layers."""
        generator = self.making.generator
        graph = ir.load(generator.folder.file(generator.manifest.generator))
        layers = list(generator.manifest.layers)
        return [
            _pair(graph, upper, lower)
            for upper, lower in zip(layers, [*layers[1:], None], strict=True)
        ]

    @property
    def bytes(self) -> int:
        """What the power of all maps takes that are scored, of one group of samples."""
        uppers = [pair.upper for pair in self.pairs if pair.kernels is not None]
        return sum(x.channels * x.height * x.width for x in uppers) * _DOUBLE_BYTES

    def power(self, latents: Latents) -> list[NDArray[np.float64] | None]:
        """The power of the upper layers' maps, (C, H, W), summed over samples of these latents."""
        return [
            None if pair.kernels is None else power_spectra(self._maps(pair.upper, latents))
            for pair in self.pairs
        ]

    def _maps(self, layer: bundle_pb2.Layer, latents: Latents) -> NDArray[np.float32]:
        return self.making.above(layer, latents)[layer.tensor].astype(np.float32, copy=False)


def _pair(graph: ir.Model, upper: bundle_pb2.Layer, lower: bundle_pb2.Layer | None) -> LayerPair:
    name = IMAGE if lower is None else lower.name
    if upper.kind != bundle_pb2.LAYER_KIND_MAP:
        kind = bundle_pb2.LayerKind.Name(upper.kind).removeprefix("LAYER_KIND_").lower()
        return LayerPair(upper, name, None, f"layer {upper.name} is no map (it is of {kind})")
    if upper.height * upper.width < 2:
        return LayerPair(upper, name, None, f"a map of layer {upper.name} is a single pixel")
    try:
        found = kernels_between(graph, upper.tensor, None if lower is None else lower.tensor)
    except GraphError as error:
        return LayerPair(upper, name, None, str(error))
    return LayerPair(upper, name, Kernels(found.values, found.upsampling, found.dilation))


def score(pair: LayerPair, power: NDArray[np.float64]) -> tuple[SpectralScore | None, str]:
    """Scores a pair of layers whose kernels are known, or says why it has no score.

    Args:
        pair: the layers.
        power: (G, C, H, W) of the upper one's maps.
    """
    assert pair.kernels is not None
    try:
        return spectral_independence(power, pair.kernels), ""
    except InvalidInputError as error:
        return None, str(error)


def grouped(
    parts: Sequence[Sequence[NDArray[np.float64] | None]], which: int
) -> NDArray[np.float64]:
    """The power of one pair's maps in groups of samples, (G, C, H, W).

    Args:
        parts: of every piece of work, what `SuccessiveLayers.power` gave.
        which: the pair.
    """
    found = [x for part in parts if (x := part[which]) is not None]
    groups = min(GROUPS, len(found))
    bounds = np.linspace(0, len(found), groups + 1).astype(int)
    return np.stack([np.sum(found[a:b], axis=0) for a, b in pairwise(bounds)])
