"""Which channels and modules of a layer act in a region of the picture, for one page."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client import (
    AsyncClient,
    Contrast,
    FoundChannels,
    InfluenceResult,
    Json,
    find_channels,
    rectangle_region,
)
from graftscope.client.errors import InputError
from graftscope.explorer._fields import Fields, numbers, text, whole
from graftscope.explorer._findings import finite_or_none
from graftscope.explorer._modules import MOST_MODULES, MOST_PAIRS
from graftscope.explorer._told import Answer, Answering
from graftscope.explorer._way import Way

MOST_PIXELS = 1 << 24
"""Of a picture that has a region."""

MOST_RUNS = 20_000
"""Of a region that was brushed."""

MOST_CHANNELS = 1 << 16
"""Of a layer."""

TOLD = 24
"""Of how many channels, those of the highest scores, a page is told what they are."""

MASK = "region.png"
"""What the page calls the file of a region that was brushed."""


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the picture.

    Args:
        inside: (H, W) from 0 outside to 1 inside.
        words: As `find --region` takes it.
    """

    inside: NDArray[np.float64]
    words: str


class Regions:
    """Finds what acts in a region, in the maps that a layer's job has come to.

    Args:
        client: Of the service.
        way: To the service, for those who go there without the page.
    """

    def __init__(self, client: AsyncClient, way: Way) -> None:
        self._client, self._way = client, way
        self._job = ""
        self._maps: InfluenceResult | None = None
        self._reading = asyncio.Lock()

    def questions(self) -> Mapping[str, Answering]:
        """``find``: channels and modules that act in a region; `_answers` says of what."""
        return {"find": self._answers}

    async def _answers(self, fields: Fields) -> AsyncIterator[Answer]:
        """Rank channels, and the modules that the page shows.

        Fields are ``model``, ``layer``, the ``job`` of its maps, the ``pairs`` behind those that
        the page knows of, and whether they are ``final``; ``pairs_wanted`` of the whole job;
        ``modules``, the channels of each; and the ``region``.
        """
        pairs = whole(fields, "pairs", low=1, high=MOST_PAIRS)
        maps = await self._measured(text(fields, "job"), pairs, fields.get("final") is True)
        height, width = maps.maps.shape[1:]
        region = region_of(fields, height, width)
        labels = _labels(fields, len(maps.maps))
        found = await asyncio.to_thread(find_channels, maps, region.inside)
        about: dict[str, Json] = {
            "pairs": maps.pairs,
            "final": not maps.is_partial,
            "command": self._command(fields, region),
        }
        yield Answer({**about, **_told(found, labels, maps.range_width)})

    async def _measured(self, job: str, pairs: int, final: bool) -> InfluenceResult:
        """The maps of a job, over as many pairs as the page has heard of, or all that it wants."""
        async with self._reading:
            known = self._maps if self._job == job else None
            if known is None or (known.is_partial and (final or known.pairs < pairs)):
                part = await self._client.partial(job)
                if not isinstance(part.influence, InfluenceResult):
                    raise InputError(f"job {job} is of several layers", field="job")
                self._job, self._maps = job, part.influence
                return part.influence
            return known

    def _command(self, fields: Fields, region: Region) -> str:
        words = ["find", "--region", region.words, "--layer", text(fields, "layer")]
        pairs = whole(fields, "pairs_wanted", low=1, high=MOST_PAIRS)
        words += ["--pairs", str(pairs), "--model", text(fields, "model")]
        return "\n".join([*self._way.before(), self._way.command(words)])


def region_of(fields: Fields, image_height: int, image_width: int) -> Region:
    """Read a region: a rectangle, or runs of pixels outside and inside in turn, row by row.

    Args:
        fields: Of the question.
        image_height: Of the picture that it must be of.
        image_width: Likewise.

    Raises:
        InputError: If it is neither, or not within its picture.
    """
    said = fields.get("region")
    if not isinstance(said, dict):
        raise InputError(f"region {said!r} is not a JSON object", field="region")
    height = whole(said, "height", low=1, high=MOST_PIXELS)
    width = whole(said, "width", low=1, high=MOST_PIXELS // height)
    if (height, width) != (image_height, image_width):
        raise InputError(
            f"the region is of a picture of {height} x {width}; this model's are {image_height}"
            f" x {image_width}",
            field="region",
        )
    if "rectangle" in said:
        sides = numbers(said, "rectangle", most=4, high=MOST_PIXELS)
        if len(sides) != 4:
            raise InputError(f"rectangle {sides!r} must be four numbers", field="rectangle")
        inside = rectangle_region(*sides, image_height=height, image_width=width)
        return Region(inside, ",".join(map(str, sides)))
    runs = numbers(said, "runs", most=MOST_RUNS, high=MOST_PIXELS)
    if sum(runs) != height * width:
        raise InputError(
            f"runs of {sum(runs)} pixels are not of a picture of {height} x {width}", field="runs"
        )
    inside = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.float64)
    return Region(inside.reshape(height, width), MASK)


def _labels(fields: Fields, count: int) -> NDArray[np.int64]:
    """The module of each of a layer's channels, of those that the page shows; -1 for none."""
    modules = fields.get("modules")
    if not isinstance(modules, list) or len(modules) > MOST_MODULES:
        raise InputError(f"modules must be a list of at most {MOST_MODULES}", field="modules")
    labels = np.full(count, -1, np.int64)
    for index, each in enumerate(modules):
        channels = numbers({"modules": each}, "modules", most=MOST_CHANNELS, high=count - 1)
        labels[channels] = index
    return labels


def _told(found: FoundChannels, labels: NDArray[np.int64], width: float) -> dict[str, Json]:
    """What a page is told; influences are shares of the image range."""
    ranked = found.ranked
    shown = ranked[: max(TOLD, len(found.channels))]
    told: dict[str, Json] = {
        "found": list[Json](found.channels),
        "ranked": list[Json](ranked),
        "channels": _ranking("channel", found.contrast, shown, np.full(len(ranked), width)),
        "modules": [],
    }
    if labels.max(initial=-1) >= 0:
        modules = found.modules(labels)
        members = np.bincount(labels[labels >= 0], minlength=len(modules.score))
        order = [index for index in modules.ranked().tolist() if members[index]]
        # The mean over a module's channels, as everywhere else on the page.
        told["modules"] = _ranking("module", modules, order, width * members)
    return told


def _ranking(
    unit: str, compared: Contrast, order: Sequence[int], per: NDArray[np.floating]
) -> Json:
    return [
        {
            unit: index,
            "score": finite_or_none(float(compared.score[index])),
            "inside": float(compared.inside[index] / per[index]),
            "inside_error": finite_or_none(float(compared.inside_stderr[index] / per[index])),
            "outside": float(compared.outside[index] / per[index]),
            "outside_error": finite_or_none(float(compared.outside_stderr[index] / per[index])),
            "certain": bool(compared.certain[index]),
        }
        for index in order
    ]
