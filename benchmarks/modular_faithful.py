"""Whether modules' hybrids look like samples: Fréchet distances, beside random sets of channels.

By the features of the network for faces that ships. Every set is of the same pairs, so that what
one differs from another by has a smaller error than either. It knows no trainings.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.bundle import shipped_networks
from graftscope.client import Client, HybridResult, ModulesResult
from graftscope.server.analysis import FeatureSet, jackknife_stderr, realism
from graftscope.server.engine import Device, Reads, SessionPool, open_network

FloatArray = NDArray[np.float64]

HYBRID_SEED, REFERENCE_SEED = 1, 2
"""Of the pairs that hybrids are made of, and of the samples that they are compared with."""

CONTROLS = 2
"""Random sets a module."""

_LOW, _HIGH = -1.0, 1.0


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error."""

    value: float
    stderr: float


@dataclass(frozen=True)
class Faithful:
    """How far hybrids are from samples, a number a module.

    Attributes:
        excess: Fréchet distance of its hybrids from samples, less that of other samples.
        random: the same of random sets of as many channels.
        verdict: its distance less theirs: below 0 where it is more faithful.
    """

    excess: list[Estimate]
    random: list[Estimate]
    verdict: list[Estimate]


class Judge:
    """Compares sets of a model's images by what the network for faces sees.

    Args:
        client: of the server that has the model.
        model: its name.
        layer: the layer.
        pairs: of each set, at least 64.
    """

    def __init__(self, client: Client, model: str, layer: str, pairs: int) -> None:
        self._client, self._model, self._layer, self._pairs = client, model, layer, pairs
        self._network = open_network(
            shipped_networks()["celeba"],
            SessionPool(Device.CPU, limit=1),
            images=(3, 64, 64),
            reads=Reads.FEATURES,
        )
        self._reference = self._seen(self._hybrids([], REFERENCE_SEED).original1)
        self._samples = self._seen(self._hybrids([], HYBRID_SEED).original1)

    def distance_from(self, images: NDArray[np.uint8]) -> Estimate:
        """Fréchet distance of samples from real images (M, H, W, 3)."""
        scaled = images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
        found = realism(self._samples, self._seen(scaled))
        return Estimate(float(found.values[0]), float(found.stderr[0]))

    def of_modules(self, modules: ModulesResult) -> Faithful:
        """All modules, each beside random sets."""
        rng = np.random.default_rng(0)
        floor = self._frechet(self._samples)
        excess, random, verdict = [], [], []
        for module in modules:
            own = self._swapped(list(module.channels))
            drawn = [
                self._swapped(rng.permutation(len(modules.labels))[: module.size].tolist())
                for _ in range(CONTROLS)
            ]
            others = [np.mean(each, axis=0) for each in zip(*drawn, strict=True)]
            # Over which sets were drawn, too.
            spread = float(np.std([value for value, _ in drawn], ddof=1) / np.sqrt(CONTROLS))
            excess.append(_difference(own, floor))
            random.append(_difference((others[0], others[1]), floor, spread))
            verdict.append(_difference(own, (others[0], others[1]), spread))
        return Faithful(excess, random, verdict)

    def _swapped(self, channels: list[int]) -> tuple[float, FloatArray]:
        return self._frechet(self._seen(self._hybrids(channels, HYBRID_SEED).hybrid))

    def _frechet(self, images: FeatureSet) -> tuple[float, FloatArray]:
        """The distance from the reference, and what it is without groups of pairs."""
        found = realism(images, self._reference)
        return float(found.values[0]), found.left_out[:, 0]

    def _seen(self, images: NDArray[np.floating]) -> FeatureSet:
        return FeatureSet(self._network(images.astype(np.float32), _LOW, _HIGH))

    def _hybrids(self, channels: list[int], seed: int) -> HybridResult:
        made = self._client.hybridize(
            self._model, self._layer, channels, pairs=self._pairs, seed=seed
        )
        assert isinstance(made, HybridResult)
        return made


def _difference(
    one: tuple[float, FloatArray], other: tuple[float, FloatArray], spread: float = 0.0
) -> Estimate:
    error = float(jackknife_stderr(one[1] - other[1]))
    return Estimate(one[0] - other[0], float(np.hypot(error, spread)))
