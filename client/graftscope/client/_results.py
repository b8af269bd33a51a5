"""What the analyses and the generator answer, as numpy arrays.

Axis letters: B samples or pairs, C channels, E sets of channels, K modules, S seeds, c colours,
H, W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.client._execution import Execution
from graftscope.client._files import write_npz
from graftscope.client._interventions import Intervention
from graftscope.client._sources import Source
from graftscope.client._tasks import Method, Until

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Stopping:
    """What came of a stopping rule.

    Args:
        until: The rule.
        met: Whether it held at the end; if not, the maximum came first.
        max_pairs: The most pairs that were allowed.
        relative_standard_error: The largest of an individual influence, at the end; NaN with one
            pair, and where no map has any influence.
        label_agreement: With `StableLabels` the share of channels whose labels stayed the same over
            the last half of the pairs; NaN where nobody could look so far back, and without it.
    """

    until: Until
    met: bool
    max_pairs: int
    relative_standard_error: float
    label_agreement: float


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Images of the generator.

    Args:
        images: (B, c, H, W) float32 in the generator's own range.
        latents: What they were made from, by the input's name.
        execution: What computed them.
    """

    images: NDArray[np.float32]
    latents: Mapping[str, NDArray[np.generic]]
    execution: Execution

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return f"<Samples of {_version(self.execution)}: images {self.images.shape}>"

    def save(self, path: str | Path) -> None:
        """Write `images` and every latent by its name to an `.npz` file.

        Raises:
            OutputError: If the file cannot be written.
        """
        write_npz(path, {"images": self.images, **self.latents})


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """What the encoder infers from images.

    Args:
        mean: (B, ...) by the input's name.
        log_variance: The same shapes.
        execution: What computed it.
    """

    mean: Mapping[str, NDArray[np.generic]]
    log_variance: Mapping[str, NDArray[np.generic]]
    execution: Execution

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.mean.items())
        return f"<Posterior of {_version(self.execution)}: {shapes}>"

    def save(self, path: str | Path) -> None:
        """Write the means by their names, and each ``NAME_log_variance``, to an `.npz` file.

        Raises:
            OutputError: If the file cannot be written.
        """
        spread = {f"{name}_log_variance": array for name, array in self.log_variance.items()}
        write_npz(path, {**self.mean, **spread})


@dataclass(frozen=True, eq=False, repr=False)
class HybridResult:
    """Both originals and the hybrid of every pair (section 3.1, Definition 5).

    Args:
        original1: (B, c, H, W) float32 in the generator's own range.
        original2: The same shape.
        hybrid: Original 1 with the chosen channels' values from original 2.
        distinct_images: How many different real images were used; 0 where none were.
        execution: What computed them.
    """

    original1: NDArray[np.float32]
    original2: NDArray[np.float32]
    hybrid: NDArray[np.float32]
    distinct_images: int
    execution: Execution

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        shape = self.hybrid.shape
        return f"<HybridResult of {_version(self.execution)}: {shape[0]} pairs, hybrid {shape}>"

    def save(self, path: str | Path) -> None:
        """Write `original1`, `original2` and `hybrid` to an `.npz` file.

        Raises:
            OutputError: If the file cannot be written.
        """
        names = ("original1", "original2", "hybrid")
        write_npz(path, {name: getattr(self, name) for name in names})


@dataclass(frozen=True, eq=False, repr=False)
class InfluenceResult:
    """Influence maps (section 3.2, equation 3) of E sets of channels.

    Args:
        maps: (E, H, W) float64: mean over pairs of |hybrid - original 1|, averaged over colour.
        stderr: (E, H, W) standard error of `maps` over pairs; NaN with one pair. Where pairs are
            stratified, that of means over 32 pairs; NaN with 32.
        individual: (E,) mean of each map over its pixels, in the image's own units.
        individual_stderr: (E,) its standard error, from the pairs' own pixel means.
        channels: (E,) int64: the channel, or the module, that each map belongs to; of
            interventions their places in `interventions`.
        range_width: Width of the image's range.
        pairs: Pairs of originals behind the maps: with a stopping rule those that were needed.
        distinct_images: How many different real images were used; 0 where none were.
        originals: prior, encoded, images, latents or image_pairs.
        model: The model's name.
        layer: The layer's name; empty where interventions are at several.
        operation: The operation that computed them.
        execution: What computed them.
        products: (E, E) mean over pairs and pixels of the product of two sets'
            |hybrid - original 1| in the same pair: what `Method.PCA` and `Method.SPECTRAL` group
            by. None where they were not asked for.
        interventions: What each map is of, where that is no channel and no module; else none.
        stopping: What came of a stopping rule; None where there was none.
        stratified: Whether every 32 pairs were spread evenly over each dimension of the latents.
    """

    maps: FloatArray
    stderr: FloatArray
    individual: FloatArray
    individual_stderr: FloatArray
    channels: NDArray[np.int64]
    range_width: float
    pairs: int
    distinct_images: int
    originals: str
    model: str
    layer: str
    operation: str
    execution: Execution
    products: FloatArray | None = None
    interventions: tuple[Intervention, ...] = ()
    stopping: Stopping | None = None
    stratified: bool = False

    @property
    def individual_share(self) -> FloatArray:
        """(E,) individual influence as a share of the image range's width."""
        return self.individual / self.range_width

    @property
    def source(self) -> Source:
        """Which model and layer the maps are of."""
        model = self.model.partition("@")[0]
        return Source(model, self.execution.model_digest, self.layer, self.operation)

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return f"<InfluenceResult of {self.source}: maps {self.maps.shape}, {self.pairs} pairs>"

    def save(self, path: str | Path) -> None:
        """Write maps, stderr, individual, individual_stderr and channels to an `.npz` file.

        And products, where there are any; and (E,) interventions as JSON, where maps are of those.
        The archive's comment holds `source` as JSON.

        Raises:
            OutputError: If the file cannot be written.
        """
        names = ("maps", "stderr", "individual", "individual_stderr", "channels")
        arrays = {name: getattr(self, name) for name in names}
        if self.products is not None:
            arrays["products"] = self.products
        if self.interventions:
            arrays["interventions"] = np.array([each.to_json() for each in self.interventions])
        write_npz(path, arrays, self.source.to_comment())


@dataclass(frozen=True, eq=False, repr=False)
class ModulesResult:
    """Modules found in influence maps (section 3.3).

    Args:
        labels: (C,) int64 module of each map; -1 where it belongs to none: its map is flat, or it
            is less pure than was asked for.
        templates: (K, H, W) float64.
        weights: (C, K) float64.
        purity: (C,) the share of a channel's largest weight, NaN where its map is flat.
        seeds: S seeds; the first gave labels, templates and weights.
        seed_labels: (S, C) labels of every seed, matched to the first.
        seed_templates: (S, K, H, W) templates of every seed, matched to the first.
        agreement: (S,) share of channels with the first seed's label.
        cosine: (S,) mean cosine with the first seed's templates.
        seeds_agreeing: How many seeds agree with the first in at least 0.9 of the channels, the
            first included.
        method: How they were found.
        operation: The operation that found them.
        impure: How many channels are in no module because they are less pure than was asked for.
        source: Which model and layer the maps are of; None where only arrays were given, or the
            result was read by the operation's name.
    """

    labels: NDArray[np.int64]
    templates: FloatArray
    weights: FloatArray
    purity: FloatArray
    seeds: tuple[int, ...]
    seed_labels: NDArray[np.int64]
    seed_templates: FloatArray
    agreement: FloatArray
    cosine: FloatArray
    seeds_agreeing: int
    method: Method
    operation: str
    impure: int = 0
    source: Source | None = None

    def members(self, module: int) -> tuple[int, ...]:
        """Positions, in the maps that were given, of one module's channels."""
        return tuple(np.flatnonzero(self.labels == module).tolist())

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        source = "given maps" if self.source is None else str(self.source)
        shapes = f"labels {self.labels.shape}, templates {self.templates.shape}"
        return f"<ModulesResult of {source}: {shapes}, {self.method}>"

    def save(self, path: str | Path) -> None:
        """Write labels, templates and weights to an `.npz` file.

        The archive's comment holds `source` as JSON, if it is known.

        Raises:
            OutputError: If the file cannot be written.
        """
        names = ("labels", "templates", "weights")
        comment = b"" if self.source is None else self.source.to_comment()
        write_npz(path, {name: getattr(self, name) for name in names}, comment)


def _version(execution: Execution) -> str:
    return f"model @{execution.model_digest[:12]}"
