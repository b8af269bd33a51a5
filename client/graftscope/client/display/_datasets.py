"""Results as xarray datasets: arrays by the names of their axes.

The axes are those that each result declares in its fields (`arrays.Axes`); here their letters get
words, and their places coordinates. xarray is imported when a dataset is made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import axes_of
from graftscope.client.display._of_influence import subject_of
from graftscope.client.display._provenance import provenance_of
from graftscope.client.errors import MissingExtraError
from graftscope.client.finding import FoundChannels
from graftscope.client.values import (
    HybridResult,
    InfluenceResult,
    LayersResult,
    ModulesResult,
    Posterior,
    Samples,
    StabilityResult,
    Strip,
)

if TYPE_CHECKING:
    import xarray

_UNITS = "image units"
_WIDTH = "range_width"


@dataclass(frozen=True)
class Grid:
    """What a result's arrays are called as a dataset.

    Args:
        axes: The words for the letters of its axes.
        places: Coordinates by the axis's word.
        units: Of its variables, by their names.
        beside: Variables that are no arrays of its fields: their axes' words, and the values.
        said: Arrays that the coordinates say already.
        attributes: Beside what it is of.
    """

    axes: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, object] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, tuple[tuple[str, ...], NDArray[Any]]] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)


def dataset_of(value: object) -> "xarray.Dataset":
    """Make a value's dataset; see `Gridded.to_xarray`.

    Args:
        value: One of the kinds of `GRIDS`, or maps of several layers.

    Raises:
        MissingExtraError: If xarray is not installed.
    """
    try:
        import xarray
    except ImportError as error:
        raise MissingExtraError(
            "to_xarray needs xarray, which is not installed; install it with:"
            " pip install 'graftscope[notebook]'"
        ) from error
    if isinstance(value, LayersResult):
        return _layers(value)
    grid = GRIDS[type(value)](value)
    variables = {
        name: (_words(axes.names, grid.axes), array)
        for name, axes in axes_of(type(value)).items()
        if name not in grid.said and (array := getattr(value, name)) is not None
    }
    variables |= grid.beside
    made = xarray.Dataset(
        variables,
        coords=dict(grid.places),
        attrs={**provenance_of(value), **grid.attributes},
    )
    pixels = {axis: np.arange(made.sizes[axis]) for axis in ("y", "x") if axis in made.sizes}
    made = made.assign_coords(pixels)
    for name, unit in {**grid.units, **dict.fromkeys(pixels, "pixels")}.items():
        if name in made:
            made[name].attrs["units"] = unit
    return made


def _words(letters: Sequence[str], axes: Mapping[str, str]) -> tuple[str, ...]:
    """An axis that an array has twice is called ``other_…`` the second time."""
    words = [axes[letter] for letter in letters]
    return tuple(
        f"other_{word}" if word in words[:place] else word for place, word in enumerate(words)
    )


def _influence(value: InfluenceResult) -> Grid:
    of = subject_of(value)
    names = [str(each) for each in value.interventions] or value.channels
    amounts = ("maps", "stderr", "individual", "individual_stderr", "correction")
    return Grid(
        axes={"E": of, "H": "y", "W": "x", "G": "group"},
        places={of: names},
        said=("channels",),
        units={
            **dict.fromkeys((*amounts, "correction_stderr", "group_units"), _UNITS),
            **dict.fromkeys(("pairs_of", "group_pairs"), "pairs"),
            **dict.fromkeys(("products", "group_products"), f"({_UNITS})^2"),
        },
        attributes={_WIDTH: value.range_width},
    )


def _layers(value: LayersResult) -> "xarray.Dataset":
    """Maps of all layers one behind the other, since layers have different channels."""
    import xarray

    parts = []
    for name, each in value.layers.items():
        # Groups of pairs are of a layer's own channels; so are products.
        own = [axes for axes in axes_of(InfluenceResult) if axes.startswith(("group", "product"))]
        part = dataset_of(each).drop_vars(own, errors="ignore").drop_dims("group", errors="ignore")
        channels = part["channel"].values
        part = part.drop_vars("channel").rename(channel="map")
        layer = np.full(len(channels), name)
        parts.append(part.assign_coords(layer=("map", layer), channel=("map", channels)))
    whole = xarray.concat(parts, "map", combine_attrs="drop_conflicts")
    return whole.assign_attrs(provenance_of(value))


def _modules(value: ModulesResult) -> Grid:
    return Grid(
        axes={"C": "channel", "K": "module", "H": "y", "W": "x", "S": "seed"},
        places={
            "channel": value.channel_numbers,
            "module": np.arange(value.k),
            "seed": list(value.seeds),
        },
        said=("channels",),
        units={
            **dict.fromkeys(("purity", "agreement", "cosine", "probabilities", "confidence"), "1"),
            **dict.fromkeys(("individual", "individual_stderr"), _UNITS),
        },
        beside={"confidence": (("channel",), value.confidence)},
        attributes={_WIDTH: value.range_width},
    )


def _stability(value: StabilityResult) -> Grid:
    by_clustering = ("clustering", "k")
    return Grid(
        axes={"n": "k", "M": "clustering", "R": "repeat"},
        places={"clustering": [each.value for each in value.methods], "k": value.k},
        said=("k",),
        units=dict.fromkeys(("consistency", "cosine", "chance"), "1"),
        beside={
            "consistency_sd": (by_clustering, value.consistency_sd),
            "cosine_sd": (by_clustering, value.cosine_sd),
        },
    )


_OF_IMAGES = {"B": "pair", "c": "colour", "H": "y", "W": "x"}


def _samples(value: Samples) -> Grid:
    return Grid(
        axes={**_OF_IMAGES, "B": "sample"},
        units={"images": _UNITS},
        beside=_latents("sample", value.latents),
        attributes=_range(value.image_range),
    )


def _posterior(value: Posterior) -> Grid:
    spread = {f"{name}_log_variance": each for name, each in value.log_variance.items()}
    return Grid(beside=_latents("sample", {**value.mean, **spread}))


def _latents(
    of: str, arrays: Mapping[str, NDArray[Any]]
) -> Mapping[str, tuple[tuple[str, ...], NDArray[Any]]]:
    """The axes of a latent are its own: they have its name."""
    return {
        name if name != "images" else "latent_images": (
            (of, *(f"{name}_{axis}" for axis in range(1, array.ndim))),
            array,
        )
        for name, array in arrays.items()
    }


def _hybrids(value: HybridResult) -> Grid:
    names = ("original1", "original2", "hybrid", "photograph1", "edited")
    return Grid(
        axes=_OF_IMAGES,
        units=dict.fromkeys(names, _UNITS),
        attributes=_range(value.image_range),
    )


def _strip(value: Strip) -> Grid:
    return Grid(
        axes={**_OF_IMAGES, "S": "strength"},
        places={"strength": value.strengths},
        said=("strengths",),
        units=dict.fromkeys(("images", "original1", "original2"), _UNITS),
        attributes=_range(value.image_range),
    )


def _range(image_range: tuple[float, ...]) -> Mapping[str, object]:
    return {"image_range": list(image_range)} if image_range else {}


def _found(value: FoundChannels) -> Grid:
    contrast = value.contrast
    columns = {
        name: (("channel",), getattr(contrast, name))
        for name in ("inside", "outside", "score", "certain")
    }
    return Grid(
        axes={"C": "channel", "h": "y", "w": "x"},
        places={"channel": np.arange(len(value.labels))},
        units={**dict.fromkeys(("maps", "inside", "outside"), _UNITS), "score": "1"},
        beside=columns,
    )


GRIDS: Mapping[type, Callable[[Any], Grid]] = {
    FoundChannels: _found,
    HybridResult: _hybrids,
    InfluenceResult: _influence,
    ModulesResult: _modules,
    Posterior: _posterior,
    Samples: _samples,
    StabilityResult: _stability,
    Strip: _strip,
}
