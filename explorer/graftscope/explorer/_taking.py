"""What a page takes along as a file: arrays, filmstrips and animations.

Everything is made by the service and written by the client, as the command line writes it.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from graftscope.client import AsyncClient, Intervention, LatentPairs, Strip
from graftscope.client.errors import InputError
from graftscope.explorer._asked import WEIGHTS, Show, show_of
from graftscope.explorer._fields import Fields, number, whole
from graftscope.explorer._hybrids import Hybrids
from graftscope.explorer._told import Answer, Answering, File

ARRAYS = "npz"
SIDE_BY_SIDE = "png"
FILMS = (SIDE_BY_SIDE, "gif", "webp")
"""Side by side, and the two animations."""

MOST_FRAMES = 121
_MOST_BYTES = 512 << 20
"""Of a film's frames, while it is drawn."""

_DIGITS = 4
"""Of a strength: what a frame is called is what it is."""


class Taking:
    """Makes the files of one page, one at a time.

    Args:
        client: Of the service.
        hybrids: Of the page.
    """

    def __init__(self, client: AsyncClient, hybrids: Hybrids) -> None:
        self._client, self._hybrids = client, hybrids
        self._asked = 0

    def questions(self) -> Mapping[str, Answering]:
        """``take``: a file of a picture that is asked for as ``show`` does; ``leave``: no more."""
        return {"take": self._take, "leave": self._leave}

    async def _leave(self, _fields: Fields) -> AsyncIterator[Answer]:
        self._asked += 1
        yield Answer({})

    async def _take(self, fields: Fields) -> AsyncIterator[Answer]:
        self._asked += 1
        asked, form = self._asked, _known(fields, (ARRAYS, *FILMS))
        shown = show_of(fields)
        intervention = grafted(shown)
        originals = await self._hybrids.originals(shown)
        if form == ARRAYS:
            made = await self._client.hybridize(
                shown.model, intervention=intervention, originals=originals
            )
            yield Answer({}, (File("file", await _written(made.save, ARRAYS)),))
            return
        there_and_back = fields.get("there_and_back") is True
        strengths = strengths_of(fields)
        image = (await self._client.model(shown.model)).image
        _require_room(len(strengths), 4 * image.height * image.width * image.channels)
        frames: list[Strip] = []
        for strength in strengths:
            yield Answer({"progress": [len(frames), len(strengths)]})
            frames.append(await self._frame(shown.model, intervention, originals, strength))
            if asked != self._asked:
                yield Answer({"stopped": True})
                return
        yield Answer({"progress": [len(frames), len(strengths)]})
        film = _joined(frames)

        def draw(path: Path) -> None:
            film.draw(path, there_and_back=there_and_back)

        yield Answer({"clipped": film.clipped}, (File("file", await _written(draw, form)),))

    async def _frame(
        self, model: str, intervention: Intervention, originals: LatentPairs, strength: float
    ) -> Strip:
        return await self._client.strip(
            model, intervention=intervention, originals=originals, strengths=[strength]
        )


def grafted(shown: Show) -> Intervention:
    """Give what is grafted.

    Raises:
        InputError: If it is nothing.
    """
    intervention = shown.intervention()
    if intervention is None:
        raise InputError("nothing is grafted yet: click a module first", field="steps")
    return intervention


def film_form(fields: Fields) -> str:
    """Read what a film is to be, one of `FILMS`.

    Raises:
        InputError: If it is none of them.
    """
    return _known(fields, FILMS)


def _known(fields: Fields, forms: Sequence[str]) -> str:
    form = fields.get("form")
    if not isinstance(form, str) or form not in forms:
        known = ", ".join(forms)
        raise InputError(f"form {form!r} is unknown; there are: {known}", field="form")
    return form


def strengths_of(fields: Fields) -> list[float]:
    """Read a film's strengths, from the first to the last.

    Raises:
        InputError: If a field is missing, or is not what it must be.
    """
    first, last = number(fields, "first", *WEIGHTS), number(fields, "last", *WEIGHTS)
    if first == last:
        raise InputError(f"a film from {first:g} to {last:g} stands still", field="last")
    count = whole(fields, "frames", low=2, high=MOST_FRAMES)
    # Adding 0 makes -0 what it is.
    return [float(each) + 0.0 for each in np.linspace(first, last, count).round(_DIGITS)]


def _require_room(frames: int, bytes_each: int) -> None:
    most = _MOST_BYTES // bytes_each
    if frames > most:
        raise InputError(
            f"{frames} frames of this model's pictures are too large to draw; at most {most} are"
            " not",
            field="frames",
        )


def _joined(frames: list[Strip]) -> Strip:
    return replace(
        frames[0],
        strengths=np.concatenate([each.strengths for each in frames]),
        images=np.concatenate([each.images for each in frames]),
    )


async def _written(write: Callable[[Path], None], suffix: str) -> bytes:
    """What something writes to a file."""

    def bytes_() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"file.{suffix}"
            write(path)
            return path.read_bytes()

    return await asyncio.to_thread(bytes_)
