"""Analyses as values to start: what is to be computed, and how."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client._execution import Precision
from graftscope.client._fixed import Fixed
from graftscope.client._interventions import Intervention
from graftscope.client._originals import Originals


class Method(StrEnum):
    """How channels are grouped into modules: by their maps (section 3.3), or by what they do in
    every pair (section 5).
    """

    NMF = "nmf"
    KMEANS = "kmeans"
    PCA = "pca"
    SPECTRAL = "spectral"

    @property
    def needs_products(self) -> bool:
        """Whether it groups by `InfluenceResult.products`, not by maps alone."""
        return self in (Method.PCA, Method.SPECTRAL)


@dataclass(frozen=True)
class RelativeError:
    """Ends influence maps early: once every individual influence is known well enough.

    Args:
        value: The largest standard error of an individual influence, as a share of it; above 0 and
            below 1. Influences of zero have none and are left out.
    """

    value: float

    def __str__(self) -> str:
        """Say it as the command line does: ``se=0.02``."""
        return f"se={self.value:g}"


@dataclass(frozen=True)
class StableLabels:
    """Ends influence maps early: once modules have stayed the same over the last half of the pairs.

    Args:
        k: Number of modules, at least 2.
        method: How they are found.
        seed: Of the method.
        window: Side of the averaging window in pixels, odd.
        percentile: Above which a pixel of a map counts, between 0 and 100, both excluded.
    """

    k: int = 3
    method: Method = Method.NMF
    seed: int = 0
    window: int = 3
    percentile: float = 75.0

    def __str__(self) -> str:
        """Say it as the command line does: ``stable,k=3,method=nmf``."""
        usual = StableLabels()
        names = ("seed", "window", "percentile")
        rest = [name for name in names if getattr(self, name) != getattr(usual, name)]
        shown = ["k", "method", *rest]
        return ",".join(["stable", *(f"{name}={getattr(self, name)}" for name in shown)])


Until: TypeAlias = RelativeError | StableLabels
"""A stopping rule."""


@dataclass(frozen=True, eq=False)
class InfluenceTask:
    """Influence maps to compute (section 3.2, equation 3).

    Args:
        model: The model's name, with ``@DIGEST`` to insist on one version.
        layer: A layer's name or a level's; empty with interventions, which name theirs, and with
            layers.
        channels: Which channels' maps, each by itself; None for every channel of the layer.
        labels: (C,) module of every channel, -1 for none: maps of modules instead of channels.
        interventions: Maps of these instead, one each.
        pairs: How many pairs of originals, at least 1; ignored where `originals` holds pairs.
        seed: Any number in [0, 2^32): decides the pairs.
        first: Index of the first pair; ranges that do not overlap give independent pairs.
        originals: Where the pairs come from; None for `Encoded` where there is an encoder, else
            `Prior`.
        map_size: No side of a map is longer, in pixels; 0 for the image's size up to 128.
        products: Whether `InfluenceResult.products` are wanted.
        share: Names of inputs of which original 2 takes original 1's value.
        fix: Values of inputs that are the same in every sample: numbers, or arrays of the input's
            shape.
        until: What may end it before `pairs`, which then is the maximum; a rule, or one in words:
            ``se=0.02``, ``stable``, ``stable,k=4,method=kmeans``.
        precision: Of the arithmetic; what the server cannot run it refuses.
        layers: Every channel of each of these layers instead, in one pass: then the result is a
            `LayersResult`.
        stratified: Whether every 32 pairs are spread evenly over each dimension of the latents,
            which takes fewer pairs for the same error. `pairs` and `first` are multiples of 32
            then, and originals `Prior` or `Encoded`.
    """

    model: str
    layer: str = ""
    channels: tuple[int, ...] | None = None
    labels: NDArray[np.integer] | None = None
    pairs: int = 1000
    seed: int = 0
    first: int = 0
    originals: Originals | None = None
    map_size: int = 0
    products: bool = False
    interventions: tuple[Intervention, ...] | None = None
    share: tuple[str, ...] = ()
    fix: Fixed | None = None
    until: Until | str | None = None
    precision: Precision = Precision.FP32
    layers: tuple[str, ...] | None = None
    stratified: bool = False


@dataclass(frozen=True, eq=False)
class ModulesTask:
    """Modules to find in influence maps (section 3.3).

    Args:
        maps: (C, H, W) influence maps, or the name of the influence operation that holds them.
        k: Number of modules, K.
        method: How they are found.
        seeds: The first gives the modules; further ones tell how far they depend on it.
        window: Side of the averaging window in pixels, odd.
        percentile: Above which a pixel of a map counts, between 0 and 100, both excluded.
        products: (C, C) of the same influence, for methods that need them and maps that are given
            as an array; None for those of the operation.
        min_purity: Channels of less purity are put into no module, from 0 (all stay) to 1.
    """

    maps: NDArray[np.floating] | str
    k: int = 3
    method: Method = Method.NMF
    seeds: tuple[int, ...] = (0,)
    window: int = 3
    percentile: float = 75.0
    products: NDArray[np.floating] | None = None
    min_purity: float = 0.0


@dataclass(frozen=True, eq=False)
class StabilityTask:
    """How far modules depend on which channels they were found in (section 4.1, Fig. 5).

    Args:
        maps: (C, H, W) influence maps, or the name of the influence operation that holds them.
        ks: Numbers of modules, each at least 2; None for 2 to 10, as far as the maps allow.
        methods: How modules are found; all are compared on the same partitions.
        repeats: Random partitions of the channels into three thirds, at least 1.
        seed: Of the partitions and of the methods.
        window: As of `ModulesTask`.
        percentile: As of `ModulesTask`.
        products: As of `ModulesTask`.
    """

    maps: NDArray[np.floating] | str
    ks: tuple[int, ...] | None = None
    methods: tuple[Method, ...] = (Method.NMF, Method.KMEANS)
    repeats: int = 20
    seed: int = 0
    window: int = 3
    percentile: float = 75.0
    products: NDArray[np.floating] | None = None


@dataclass(frozen=True, eq=False)
class MagnitudeTask:
    """How much modules change the image as their number grows (section 4.1, Fig. 3).

    Args:
        model: The model's name, with ``@DIGEST`` to insist on one version.
        layers: Layers' or levels' names; None for the last three.
        ks: Numbers of modules, each at least 1; None for 2 to 10, as far as each layer allows.
        method: How modules are found.
        seed: Of the method.
        pairs: Pairs that find the modules, at least 1; as many that follow them measure the
            modules. Where `originals` holds pairs, one half of those does the one, the other half
            the other.
        pairs_seed: Any number in [0, 2^32): decides the pairs.
        first: Index of the first pair.
        originals: Where the pairs come from; None for `Encoded` where there is an encoder, else
            `Prior`.
        map_size: No side of a map is longer, in pixels; 0 for the image's size up to 128.
        window: As of `ModulesTask`.
        percentile: As of `ModulesTask`.
        share: As of `InfluenceTask`.
        fix: As of `InfluenceTask`.
        stratified: As of `InfluenceTask`.
    """

    model: str
    layers: tuple[str, ...] | None = None
    ks: tuple[int, ...] | None = None
    method: Method = Method.NMF
    seed: int = 0
    pairs: int = 1000
    pairs_seed: int = 0
    first: int = 0
    originals: Originals | None = None
    map_size: int = 0
    window: int = 3
    percentile: float = 75.0
    share: tuple[str, ...] = ()
    fix: Fixed | None = None
    stratified: bool = False


Task: TypeAlias = InfluenceTask | ModulesTask | StabilityTask | MagnitudeTask

HybridTask: TypeAlias = InfluenceTask | MagnitudeTask
"""A task that makes hybrids, whose cost the server estimates."""
