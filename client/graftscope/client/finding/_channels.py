"""From the picture to the channels: which of a layer's channels act inside a region of the image.

It must not know the command line, nor how maps are computed.

Axis letters: C channels, K modules, H, W pixels of the image, h, w pixels of its maps.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Arrays,
    Axes,
    Columns,
    Drawn,
    Gridded,
    Saved,
    Source,
    Tabular,
    finite,
    finite_number,
    influence_maps,
    module_labels,
    numbers,
    taken,
    whole_number,
)
from graftscope.client.errors import InputError
from graftscope.client.finding._regions import (
    Contrast,
    check_size,
    contrast,
    region_at,
    sums_by_module,
)
from graftscope.client.values import InfluenceResult

FOUND_FROM = 1.5
"""A found channel's score is at least this where nothing else is asked for."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class FoundChannels(Saved, Tabular, Drawn, Gridded):
    """Channels ranked by their influence inside a region over outside, and which were found.

    As a table a row a channel: whether it was found, its score, and what the score is of.

    Args:
        labels: (C,) int64: 0 for the channels that were found, -1 for the rest; as modules'
            labels, so that whatever takes a module takes these.
        contrast: Inside, outside, score and certainty of every channel.
        region: (h, w) how much of each pixel of the maps is inside, 0 to 1.
        maps: (C, h, w) the maps.
        source: Which model and layer the maps are of, if that is known.
    """

    labels: Annotated[NDArray[np.int64], Axes("C")]
    contrast: Contrast
    region: Annotated[FloatArray, Axes("h w")]
    maps: Annotated[FloatArray, Axes("C h w")]
    source: Source | None = None

    IN_ARRAYS: ClassVar = ("contrast",)

    @property
    def channels(self) -> tuple[int, ...]:
        """Those that were found, the highest score first."""
        return tuple(index for index in self.ranked if self.labels[index] == 0)

    @property
    def ranked(self) -> tuple[int, ...]:
        """All channels, the highest score first; those of nothing at all last."""
        return tuple(self.contrast.ranked().tolist())

    @property
    def found_map(self) -> FloatArray:
        """(h, w) sum of the maps of the channels that were found."""
        total: FloatArray = self.maps[self.labels == 0].sum(axis=0)
        return total

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        source = "given maps" if self.source is None else str(self.source)
        return f"<FoundChannels of {source}: {len(self.channels)} of {len(self.labels)} channels>"

    def modules(self, labels: NDArray[np.integer]) -> Contrast:
        """Compare modules inside the region and outside of it, in the same maps.

        A module's map is taken for the sum of its channels' maps, and its standard errors for the
        sums of theirs, which they are at most. `certain` is whether inside exceeds outside.

        Args:
            labels: (C,) module of each channel, -1 for none.

        Returns:
            Inside, outside, score and errors of each of K modules; a score of NaN for one without
            channels.

        Raises:
            InputError: If they are not labels of these channels.
        """
        checked = module_labels(labels)
        if len(checked) != len(self.labels):
            raise InputError(
                f"labels of {len(checked)} channels do not belong to maps of {len(self.labels)}",
                field="labels",
            )
        found = contrast(sums_by_module(self.maps, checked), None, self.region)
        members = (checked == np.arange(len(found.score))[:, None]).astype(np.float64)  # (K, C)
        return replace(
            found,
            inside_stderr=members @ self.contrast.inside_stderr,
            outside_stderr=members @ self.contrast.outside_stderr,
        )

    def columns(self) -> Columns:
        """As `Tabular.columns`."""
        return {
            "channel": np.arange(len(self.labels)),
            "found": self.labels == 0,
            "score": self.contrast.score,
            "inside": self.contrast.inside,
            "outside": self.contrast.outside,
            "certain": self.contrast.certain,
            "inside_stderr": self.contrast.inside_stderr,
            "outside_stderr": self.contrast.outside_stderr,
            "spill": self.contrast.spill,
            "spill_stderr": self.contrast.spill_stderr,
        }

    def arrays(self) -> Arrays:
        """What a file of modules holds, so that whatever takes one takes this, and the rest.

        `labels` (C,), `templates` (1, h, w) and `weights` (C, 1) as those of `ModulesResult` (the
        template is `found_map`, of unit length), `scores`, `inside`, `outside`, `certain`,
        `inside_stderr`, `outside_stderr`, `spill`, `spill_stderr` (C,), `region` (h, w) and `maps`
        (C, h, w).
        """
        found = self.found_map
        length = float(np.linalg.norm(found))
        return {
            **super().arrays(),
            "templates": found[np.newaxis] / (length or 1.0),
            "weights": (self.labels == 0).astype(np.float64)[:, np.newaxis],
            "scores": self.contrast.score,
            "inside": self.contrast.inside,
            "outside": self.contrast.outside,
            "certain": self.contrast.certain,
            "inside_stderr": self.contrast.inside_stderr,
            "outside_stderr": self.contrast.outside_stderr,
            "spill": self.contrast.spill,
            "spill_stderr": self.contrast.spill_stderr,
        }

    @classmethod
    def _of_arrays(cls, arrays: Arrays) -> dict[str, Any]:
        labels = module_labels(taken(arrays, "labels"))
        region = taken(arrays, "region")
        # Earlier versions kept no maps and no errors, and of certainty what was found.
        nothing = np.full(len(labels), np.nan)
        unknown = {
            "maps": np.full((len(labels), *region.shape), np.nan),
            "certain": labels == 0,
            "inside_stderr": nothing,
            "outside_stderr": nothing,
        }
        arrays = {**unknown, **arrays}
        names = ("inside", "outside", "scores", "certain", "inside_stderr", "outside_stderr")
        inside, outside, score, certain, *errors = (taken(arrays, name) for name in names)
        area = float(region.mean())
        found = Contrast(inside, outside, score, certain, errors[0], errors[1], area)
        return {**super()._of_arrays(arrays), "contrast": found}

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        return {"source": source}


def find_channels(
    maps: InfluenceResult | NDArray[np.floating],
    region: NDArray[np.generic],
    *,
    stderr: NDArray[np.floating] | None = None,
    at_least: float | None = None,
    top: int | None = None,
) -> FoundChannels:
    """Find the channels that act inside a region of the image more than outside of it.

    A channel's score is its mean influence inside over that outside. Found are channels whose
    score is high enough, and whose influence inside exceeds that outside by more than two standard
    errors. Nothing is computed by a server.

    Args:
        maps: The influence of all C channels of a layer: a result, or (C, h, w) maps.
        region: (H, W) booleans, or how far each pixel of the image is inside, 0 to 1. It is
            averaged over areas to the maps' size, which tells of which sizes the image can be;
            another one is refused. `rectangle_region` makes one.
        stderr: (C, h, w) standard errors of the maps; a result brings its own along, unless it has
            none. None: only whether inside exceeds outside is asked.
        at_least: The lowest score of a channel that is found, above 0; None for 1.5, or for
            1 where `top` is given.
        top: At most so many are found, those of the highest scores, at least 1; None for all.

    Returns:
        All channels' scores, and which were found; there may be none.

    Raises:
        InputError: If a value or a shape is not allowed, or the region has no inside or no
            outside.
    """
    values, errors, source = _measured(maps, stderr)
    if at_least is not None and finite_number("at_least", at_least) <= 0.0:
        raise InputError(f"at_least {at_least:g} is not allowed: it must be above 0")
    if top is not None:
        whole_number("top", top, low=1)
    lowest = at_least if at_least is not None else FOUND_FROM if top is None else 1.0
    check_size(region, *values.shape[1:])
    weights = region_at(region, *values.shape[1:])
    compared = contrast(values, errors, weights)
    chosen = [
        index
        for index in compared.ranked()
        if compared.certain[index] and compared.score[index] >= lowest
    ]
    labels = np.full(len(values), -1, np.int64)
    labels[chosen[:top]] = 0
    return FoundChannels(labels, compared, weights, values, source)


def _measured(
    maps: InfluenceResult | NDArray[np.floating], stderr: NDArray[np.floating] | None
) -> tuple[FloatArray, FloatArray | None, Source | None]:
    """Take maps, their standard errors and their source from whatever was given."""
    source = None
    if isinstance(maps, InfluenceResult):
        source = maps.source
        known = bool(np.isfinite(maps.stderr).all())
        stderr = maps.stderr if stderr is None and known else stderr
        check_whole(maps.channels, "the result")
        maps = maps.maps
    values = influence_maps(maps)
    if stderr is None:
        return values, None, source
    errors = finite("stderr", numbers("stderr", stderr)).astype(np.float64)
    if errors.shape != values.shape:
        raise InputError(f"stderr of shape {errors.shape} do not belong to maps {values.shape}")
    return values, errors, source


def check_whole(channels: NDArray[np.generic], what: str) -> None:
    """Refuse maps of some of a layer's channels: labels are of all of them.

    Raises:
        InputError: If the channels are not 0, 1, 2 and so on.
    """
    if not np.array_equal(channels, np.arange(len(channels))):
        listed = ", ".join(map(str, channels[:4])) + (", ..." if len(channels) > 4 else "")
        raise InputError(
            f"{what} has maps of the channels {listed} alone: find needs those of a whole layer",
            field="maps",
        )
