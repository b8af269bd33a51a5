"""Influence maps of several layers that were computed in one pass."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from graftscope.client._checks import names
from graftscope.client._execution import Precision
from graftscope.client._fixed import Fixed
from graftscope.client._originals import Originals
from graftscope.client._results import InfluenceResult
from graftscope.client._tasks import InfluenceTask, Until


class LayersOptions(TypedDict, total=False):
    """What `Client.influence_layers` takes beside model and layers; see `Client.influence`."""

    pairs: int
    until: Until | str | None
    precision: Precision
    seed: int
    first: int
    originals: Originals | None
    map_size: int
    products: bool
    share: Sequence[str]
    fix: Fixed | None
    stratified: bool


@dataclass(frozen=True, eq=False, repr=False)
class LayersResult:
    """Influence maps of every channel of several layers.

    Args:
        layers: Each layer's, by its name, in the order in which they were asked for.
        operation: The operation that computed all of them.
    """

    layers: Mapping[str, InfluenceResult]
    operation: str

    def __getitem__(self, name: str) -> InfluenceResult:
        """Give the maps of a layer by its name."""
        return self.layers[name]

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return f"<LayersResult of {', '.join(self.layers)}: {self.operation}>"

    def save(self, path: str | Path) -> None:
        """Write an `.npz` file a layer, with its name before the suffix: ``maps.deconv1.npz``.

        Args:
            path: Such as ``maps.npz``.

        Raises:
            OutputError: If a file cannot be written.
        """
        for name, result in self.layers.items():
            result.save(layer_path(path, name))


def layer_path(path: str | Path, name: str) -> Path:
    """Put a layer's name before a file's suffix; what files had better not be called becomes _."""
    whole = Path(path)
    return whole.with_name(f"{whole.stem}.{re.sub(r'[^0-9A-Za-z._-]', '_', name)}{whole.suffix}")


def layers_task(model: str, layers: Sequence[str], options: LayersOptions) -> InfluenceTask:
    """Make the task of several layers' maps."""
    usual = InfluenceTask(model)
    return InfluenceTask(
        model,
        layers=names("layers", layers),
        pairs=options.get("pairs", usual.pairs),
        until=options.get("until"),
        precision=options.get("precision", usual.precision),
        seed=options.get("seed", usual.seed),
        first=options.get("first", usual.first),
        originals=options.get("originals"),
        map_size=options.get("map_size", usual.map_size),
        products=options.get("products", usual.products),
        share=names("share", options.get("share", ())),
        fix=options.get("fix"),
        stratified=options.get("stratified", usual.stratified),
    )


def divided(whole: InfluenceResult, rows: Mapping[str, slice]) -> LayersResult:
    """Divide maps among layers.

    Args:
        whole: Of all layers.
        rows: Which maps are of which layer, by its name.
    """

    def part(name: str, at: slice) -> InfluenceResult:
        products = whole.products
        arrays = ("maps", "stderr", "individual", "individual_stderr", "channels")
        return replace(
            whole,
            **{array: getattr(whole, array)[at] for array in arrays},
            products=None if products is None else np.ascontiguousarray(products[at, at]),
            layer=name,
        )

    parts = {name: part(name, at) for name, at in rows.items()}
    return LayersResult(parts, whole.operation)
