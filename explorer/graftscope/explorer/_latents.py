"""From what a page says of an original to the latents of the service."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from graftscope.client import AsyncClient, GraftscopeError, Input, Latents, Model
from graftscope.client.errors import InputError
from graftscope.explorer._fields import LAST_SEED
from graftscope.explorer._inputs import is_normal, mean_of
from graftscope.explorer._originals import Sample

_KEPT = 256

_QUICK_S = 0.25
"""Neighbours are drawn ahead where one takes less: else they would be in the way of hybrids."""


class Drawing:
    """Draws originals' latents, and remembers the last ones.

    Args:
        client: Of the service.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._models: dict[str, Model] = {}
        self._latents: OrderedDict[tuple[str, Sample], Latents] = OrderedDict()
        self._ahead: asyncio.Task[None] | None = None
        self._took_s = 0.0

    async def model(self, name: str) -> Model:
        """Tell of a model, as it was when it was first asked for."""
        if name not in self._models:
            self._models[name] = await self._client.model(name)
        return self._models[name]

    async def latents(self, model: str, sample: Sample) -> Latents:
        """Draw an original: every input of the generator, (1, ...) each.

        Raises:
            GraftscopeError: If the service refuses it, or cannot be reached.
            InputError: If a photograph's encoding is another model's.
        """
        key = (model, sample)
        if key not in self._latents:
            began = time.monotonic()
            self._latents[key] = await self._drawn(await self.model(model), sample)
            self._took_s = time.monotonic() - began
            if len(self._latents) > _KEPT:
                self._latents.popitem(last=False)
        self._latents.move_to_end(key)
        return self._latents[key]

    def look_ahead(self, model: str, samples: Sequence[Sample]) -> None:
        """Draw the neighbours of originals while nothing else is asked for.

        Args:
            model: Its name.
            samples: The originals.
        """
        self.attend()
        if self._took_s < _QUICK_S:
            self._ahead = asyncio.create_task(self._look(model, samples))

    def attend(self) -> None:
        """Something is asked for: draw ahead no more."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    async def _look(self, model: str, samples: Sequence[Sample]) -> None:
        # Nobody waits for these; whoever asks for one hears why it cannot be had.
        with contextlib.suppress(GraftscopeError):
            for sample in samples:
                for neighbour in _neighbours(sample):
                    await self.latents(model, neighbour)

    async def _drawn(self, model: Model, sample: Sample) -> Latents:
        fix: dict[str, float | NDArray[np.generic]] = dict(sample.given)
        fix |= {name: encoding(model, name, data) for name, data in sample.encoded}
        for name, seed in sample.drawn:
            drawn = await self._client.generate(model.name, count=1, seed=seed)
            fix[name] = _input_of(drawn.latents, name, model)
        made = await self._client.generate(model.name, count=1, seed=sample.seed, fix=fix or None)
        pulled = truncated_inputs(model, sample)
        return {
            name: _pulled(model, name, array, sample.truncation) if name in pulled else array
            for name, array in made.latents.items()
        }


def _neighbours(sample: Sample) -> list[Sample]:
    """The originals of the seeds beside an original's own, first the next one."""
    if sample.encoded:
        return []
    seeds = [each for each in (sample.seed + 1, sample.seed - 1) if 0 <= each <= LAST_SEED]
    return [replace(sample, seed=seed) for seed in seeds]


def encoding(model: Model, name: str, data: bytes) -> NDArray[np.float32]:
    """Read what an encoder made of a photograph.

    Args:
        model: Whose latents they are.
        name: The input's name.
        data: Its numbers in single precision, the lowest byte first.

    Returns:
        (1, ...) float32, of the input's shape.

    Raises:
        InputError: If the model has no such input, or it takes another number of numbers.
    """
    shape = _input(model, name).shape
    if len(data) != 4 * int(np.prod(shape)):
        raise InputError(
            f"the photograph's encoding holds {len(data)} bytes for input {name!r}; model "
            f"{model.name!r} takes {' x '.join(map(str, shape))} numbers of 4 bytes: it is "
            "another model's",
            field="latents",
        )
    return np.frombuffer(data, "<f4").astype(np.float32).reshape(1, *shape)


def truncated_inputs(model: Model, sample: Sample) -> list[str]:
    """Name the inputs that an original's truncation acts on: normal ones that its seed draws."""
    if sample.truncation == 1.0:
        return []
    said = {name for name, _ in (*sample.given, *sample.drawn, *sample.encoded)}
    return [each.name for each in model.inputs if is_normal(each) and each.name not in said]


def _pulled(
    model: Model, name: str, array: NDArray[np.generic], truncation: float
) -> NDArray[np.generic]:
    mean = mean_of(model, name)
    lengths = cast(NDArray[np.floating], array)
    return mean + truncation * (lengths - mean)


def _input(model: Model, name: str) -> Input:
    for each in model.inputs:
        if each.name == name:
            return each
    has = ", ".join(each.name for each in model.inputs)
    raise InputError(
        f"input {name!r} is not in model {model.name!r}; it has: {has}", field="inputs"
    )


def _input_of(latents: Latents, name: str, model: Model) -> NDArray[np.generic]:
    _input(model, name)
    return latents[name]
