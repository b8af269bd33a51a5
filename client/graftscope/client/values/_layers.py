"""Influence maps of several layers of one job: one result a layer, and the files that keep them."""

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from graftscope.client.arrays import (
    ByValue,
    Columns,
    Displayed,
    Drawn,
    Gridded,
    Tabular,
    file_name,
    read_about,
    stacked,
    write_saved,
)
from graftscope.client.errors import InputError, NotFoundError
from graftscope.client.values._influence import InfluenceResult

_LAYERS = "layers"
"""Where a layer's file names all layers that belong together."""


@dataclass(frozen=True, eq=False, repr=False)
class LayersResult(ByValue, Displayed, Tabular, Drawn, Gridded):
    """Influence maps of every channel of several layers.

    As a table the rows of each layer's, one below the other.

    Args:
        layers: Each layer's, by its name, in the order in which they were asked for.
        operation: The operation that computed all of them.
    """

    layers: Mapping[str, InfluenceResult]
    operation: str

    @property
    def is_partial(self) -> bool:
        """Whether the job had not come to its end: these are the maps of the pairs so far."""
        return any(each.is_partial for each in self.layers.values())

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        return stacked(each.columns() for each in self.layers.values())

    def __getitem__(self, name: str) -> InfluenceResult:
        """Give the maps of a layer by its name."""
        return self.layers[name]

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        return f"<LayersResult of {', '.join(self.layers)}: {self.operation}>"

    def save(self, path: str | Path, names: Sequence[str] | None = None) -> None:
        """Write an `.npz` file a layer, with its name before the suffix: ``maps.deconv1.npz``.

        Args:
            path: Such as ``maps.npz``.
            names: What the files are called after, in the order of the layers; None for those.

        Raises:
            InputError: If its name does not end in ``.npz``.
            OutputError: If a file cannot be written.
        """
        file_name(path, ".npz")
        for name, result in zip(names or self.layers, self.layers.values(), strict=True):
            write_saved(result, layer_path(path, name), {_LAYERS: list(self.layers)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the files of `save`, one a layer.

        Args:
            path: The one that `save` was given, such as ``maps.npz``.

        Returns:
            The layers' maps, equal to those that were saved.

        Raises:
            NotFoundError: If there is no such file, or a layer's is missing.
            InputError: If there are files of several results under these names.
        """
        whole = file_name(path)
        pattern = f"{glob.escape(whole.stem)}.*{glob.escape(whole.suffix)}"
        files = {each: read_about(each) for each in sorted(whole.parent.glob(pattern))}
        if not files:
            raise NotFoundError(f"there is no file {layer_path(path, 'LAYER')}")
        found = {each: InfluenceResult.load(each) for each in files}
        operations = sorted({each.operation for each in found.values()})
        if len(operations) > 1:
            raise InputError(
                f"{whole.with_name(pattern)} are files of several results: {', '.join(operations)};"
                " load one layer's by InfluenceResult.load"
            )
        said = next((about.told.get(_LAYERS) for about in files.values()), None)
        layers = {each.layer: each for each in found.values()}
        missing = [name for name in said or () if name not in layers]
        if missing:
            raise NotFoundError(
                f"there is no file of layer {missing[0]!r}, which belongs to {whole}"
            )
        return cls({name: layers[name] for name in said or layers}, operations[0])


def layer_path(path: str | Path, name: str) -> Path:
    """Put a layer's name before a file's suffix; what files had better not be called becomes _."""
    whole = Path(path)
    return whole.with_name(f"{whole.stem}.{re.sub(r'[^0-9A-Za-z._-]', '_', name)}{whole.suffix}")


def divided(whole: InfluenceResult, rows: Mapping[str, slice]) -> LayersResult:
    """Divide maps among layers.

    Args:
        whole: Of all layers.
        rows: Which maps are of which layer, by its name.
    """

    def part(name: str, at: slice) -> InfluenceResult:
        products, groups = whole.products, whole.groups
        arrays = ["maps", "stderr", "individual", "individual_stderr", "channels", "pairs_of"]
        if whole.corrected_pairs:
            arrays += ["correction", "correction_stderr"]
        return replace(
            whole,
            pairs=int(whole.pairs_of[at].max()),
            **{array: getattr(whole, array)[at] for array in arrays},
            products=None if products is None else np.ascontiguousarray(products[at, at]),
            **({} if groups is None else groups.of(at).request()),
            layer=name,
        )

    parts = {name: part(name, at) for name, at in rows.items()}
    return LayersResult(parts, whole.operation)
