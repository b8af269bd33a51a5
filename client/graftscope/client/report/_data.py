"""What a report is made of: plain values, checked once. It must not know how they are drawn.

Axis letters: N samples, B pairs shown, C channels, K modules, S seeds, c colours (1, 3 or 4),
H, W pixels of an image, Hm, Wm pixels of a map.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from graftscope.client.report._worth import LayerWorth
from graftscope.client.values import SURE, Between, between_modules, own_probability


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from.

    Attributes:
        recipe: The training recipe, or how else the model was made.
        data: What it was trained on.
        licence: The licence or terms of that data and of the model.
        metrics: What was measured on held-out images, by name.
    """

    recipe: str
    data: str
    licence: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Consistency:
    """How far modules depend on which channels they are found in (section 4.1).

    Attributes:
        mean: Share of labels on which two runs on overlapping thirds agree, 0 to 1, mean over
            partitions.
        deviation: Its standard deviation over partitions; NaN for one.
        chance: The share that permuted labels reach.
        partitions: How many.
    """

    mean: float
    deviation: float
    chance: float
    partitions: int


@dataclass(frozen=True, eq=False)
class LayerSection:
    """Everything the report says about one layer.

    Attributes:
        layer: Its name.
        level: Its level (coarse, intermediate, fine, image), if known.
        channels: Number of channels of the layer.
        height: Height of its activation.
        width: Width of its activation.
        maps: (C, Hm, Wm) influence maps, in image units (eq. 3).
        maps_stderr: (C, Hm, Wm) their standard errors; NaN for one pair.
        individual: (C,) individual influence, in image units.
        individual_stderr: (C,) its standard error; NaN for one pair.
        pairs_of: (C,) pairs behind each map.
        channel_indices: (C,) which channels of the layer these are.
        method: ``nmf`` or ``kmeans``.
        seeds: (S,) seeds of the clustering; the first is the one shown and grafted.
        labels: (S, C) module of each channel, -1 for none, numbered as the first seed's.
        templates: (S, K, Hm, Wm), in the same order.
        weights: (C, K) weight of each template in each channel, of the first seed.
        probabilities: (C, K) how probable it is that other pairs put a channel into each module;
            NaN where not known.
        agreement: (S,) share of channels that keep the first seed's module, 0 to 1.
        original1: (B, c, H, W) in the generator's own range.
        original2: (B, c, H, W).
        hybrids: (K, B, c, H, W): original 1 with module k from original 2.
        module_maps: (K, Hm, Wm) influence maps of whole modules, in image units: how much the
            hybrids of each differ from original 1. Zero for a module without channels.
        module_individual: (K,) their means over all pixels.
        module_individual_stderr: (K,) the standard errors of those; NaN for one pair.
        check_pairs: Pairs behind each module's map.
        fresh_pairs: Whether those are other pairs than the ones the modules were found with.
        change: (K, 2) mean of a module's map inside and outside its template, in image units, as
            by `region_change`.
        consistency: How stable the modules are; None where too few channels could tell.
        interventions: K texts of JSON, what grafting each module assigns, to be taken along; an
            empty text for a module without channels. None at all where there is nothing to take.
        confidence_unknown: Why no probability is known, in a sentence; empty where they are.
        until_sure: Whether each channel stopped as soon as its module was sure.
        worth: What the modules are worth; None where that was not asked.
    """

    layer: str
    level: str | None
    channels: int
    height: int
    width: int
    maps: NDArray[np.float64]
    maps_stderr: NDArray[np.float64]
    individual: NDArray[np.float64]
    individual_stderr: NDArray[np.float64]
    pairs_of: NDArray[np.integer]
    channel_indices: NDArray[np.integer]
    method: str
    seeds: tuple[int, ...]
    labels: NDArray[np.integer]
    templates: NDArray[np.float64]
    weights: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    agreement: NDArray[np.float64]
    original1: NDArray[np.floating]
    original2: NDArray[np.floating]
    hybrids: NDArray[np.floating]
    module_maps: NDArray[np.float64]
    module_individual: NDArray[np.float64]
    module_individual_stderr: NDArray[np.float64]
    check_pairs: int
    fresh_pairs: bool
    change: NDArray[np.float64]
    consistency: Consistency | None = None
    interventions: tuple[str, ...] = ()
    confidence_unknown: str = ""
    until_sure: bool = False
    worth: LayerWorth | None = None

    def __post_init__(self) -> None:
        """Check that all shapes fit.

        Raises:
            ValueError: If one does not.
        """
        count, modules, seeds = len(self.maps), self.modules, len(self.seeds)
        area = self.maps.shape[1:]
        expected = {
            "maps_stderr": (count, *area),
            "individual": (count,),
            "individual_stderr": (count,),
            "pairs_of": (count,),
            "channel_indices": (count,),
            "labels": (seeds, count),
            "templates": (seeds, modules, *area),
            "weights": (count, modules),
            "probabilities": (count, modules),
            "agreement": (seeds,),
            "original2": self.original1.shape,
            "hybrids": (modules, *self.original1.shape),
            "module_maps": (modules, *area),
            "module_individual": (modules,),
            "module_individual_stderr": (modules,),
            "change": (modules, 2),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"layer '{self.layer}': {name} has shape {found}, not {shape}")
        if self.interventions and len(self.interventions) != modules:
            raise ValueError(
                f"layer '{self.layer}': {len(self.interventions)} interventions, not {modules}"
            )
        if not count or not seeds or not len(self.original1):
            raise ValueError(f"layer '{self.layer}' has no channel, no seed or no pair to show")
        if self.labels.min() < -1 or self.labels.max() >= modules:
            raise ValueError(f"layer '{self.layer}': labels must lie from -1 to {modules - 1}")

    @property
    def modules(self) -> int:
        """K, the number of modules."""
        return int(self.templates.shape[1])

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(C,) probability of each channel's own module; NaN where it is in none, or not known."""
        return own_probability(self.labels[0].astype(np.int64), self.probabilities)

    @property
    def sure(self) -> NDArray[np.bool_]:
        """(C,) whether other pairs would put a channel into the same module."""
        return np.asarray(self.confidence >= SURE)

    @property
    def between(self) -> tuple[Between, ...]:
        """Channels that may well belong to more than one module, by their places in the maps."""
        return between_modules(self.probabilities)

    def members(self, module: int) -> NDArray[np.integer]:
        """Indices in the layer of the channels of one module, rising; -1 for those in none."""
        return np.sort(self.channel_indices[self.labels[0] == module])


@dataclass(frozen=True)
class ByHand:
    """How a layer's modules are grafted by hand, on the explorer's page.

    Attributes:
        command: The command line that opens the page at the layer.
        hybridize: How the command line begins that makes hybrids of the layer's generator.
        link: The layer's address on a page that is served already; empty where none is known.
    """

    command: str
    hybridize: str
    link: str = ""


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything a report shows.

    Attributes:
        title: Its heading.
        model: Name of the model.
        digest: Digest of the model's bundle, in hex.
        date: When it was made, as it is to be read.
        command: The command line that made it.
        provenance: Where the model comes from.
        samples: (N, c, H, W) samples of the generator, in its own range.
        image_range: (low, high) of that range.
        seed: Seed of the latents.
        precision: Of the arithmetic, such as ``float32``.
        provider: What computed, such as ``CPUExecutionProvider``.
        rewrites: Names of the graph rewrites that reorder arithmetic for speed.
        deviations: How far maps are from float32, a sentence a layer; none where they are that.
        stratified: Whether every 32 of those pairs were spread evenly over the latents.
        by_hand: How each layer's modules are grafted by hand, by the layer's name; none where that
            is not known.
        originals: Where originals come from: ``prior``, ``encoded``, or a description of images.
        run_time_s: Seconds the analyses took.
        warnings: What the reader must know before trusting a number, one sentence each.
        sections: The layers, in the order of the page.
    """

    title: str
    model: str
    digest: str
    date: str
    command: str
    provenance: Provenance
    samples: NDArray[np.floating]
    image_range: tuple[float, float]
    seed: int
    precision: str
    provider: str
    originals: str
    run_time_s: float
    warnings: tuple[str, ...]
    sections: tuple[LayerSection, ...]
    rewrites: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    stratified: bool = False
    by_hand: Mapping[str, ByHand] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what the page cannot do without.

        Raises:
            ValueError: If there is no layer, or the image range is empty.
        """
        if not self.sections:
            raise ValueError("a report needs at least one layer, this has none")
        if not self.image_range[0] < self.image_range[1]:
            raise ValueError(f"image range {self.image_range} is empty: low must be below high")

    @property
    def pairs_of(self) -> NDArray[np.integer]:
        """Pairs behind each influence map of every layer."""
        return np.concatenate([section.pairs_of for section in self.sections])

    @property
    def range_width(self) -> float:
        """Width of the image range, in image units."""
        return self.image_range[1] - self.image_range[0]
