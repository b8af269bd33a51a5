"""Samples, hybrids and encodings made off the event loop, while the caller waits.

What is computed in float32 goes with the runs of other callers; another precision is measured
against float32 on the call's own samples, and so runs by itself. It must not know messages.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from graftscope.server.access import Work, caller
from graftscope.server.engine import (
    ENCODED_A_RUN,
    Batching,
    Cancellation,
    Exploration,
    Generator,
    Graft,
    Halving,
    Hybrids,
    Intervention,
    Kind,
    Latents,
    PairSource,
    Precision,
    Ran,
    Rows,
    Samples,
    Shown,
    grafting,
    run_in,
    sampling,
    to_range,
)
from graftscope.server.rpc._latest import Turn
from graftscope.server.tally import Counts, Tally

_Task = TypeVar("_Task")
_Made = TypeVar("_Made")
_Posterior = tuple[NDArray[np.float32], ...]

PHOTOGRAPHS = ("images", "image_pairs")
"""Kinds of originals that are real images."""


class LateSource:
    """Pairs whose source is found when the first of them are drawn, in whichever thread does.

    Args:
        kind: as `PairSource.kind`.
        find: gives the source.
    """

    def __init__(self, kind: str, find: Callable[[], PairSource]) -> None:
        self.kind = kind
        self._find = find

    @cached_property
    def _source(self) -> PairSource:
        return self._find()

    def latents(self, pairs: range) -> tuple[Latents, Latents]:
        """As `PairSource`."""
        return self._source.latents(pairs)

    def distinct_images(self, pairs: range) -> int:
        """As `PairSource`."""
        return self._source.distinct_images(pairs)

    def photographs1(self, pairs: range) -> NDArray[np.uint8] | None:
        """As `PairSource`."""
        return self._source.photographs1(pairs)


class InteractiveRuns:
    """Makes what is asked for; what nobody waits for any more is stopped.

    Args:
        batching: makes tasks of several calls together, and what runs by itself.

    Attributes:
        batching: as given.
        explorations: counts those that are open.
        made_hybrids: how many there were, by the kind of work and whose they are.
        made_samples: images that were generated, by whose they are.
        made_encodings: images that were encoded, by whose they are.
    """

    def __init__(self, batching: Batching) -> None:
        self.batching = batching
        self.explorations = Tally()
        self.made_hybrids = Counts[tuple[Work, str]]()
        self.made_samples, self.made_encodings = Counts[str](), Counts[str]()

    async def samples(
        self,
        generator: Generator,
        wanted: str,
        source: PairSource,
        pairs: range,
        original: int = 1,
    ) -> Ran[Samples]:
        """Original 1 or 2 of every pair, in a precision."""

        def task(some: range) -> Callable[[], Latents]:
            return lambda: source.latents(some)[original - 1]

        ran = await self._made(
            generator,
            wanted,
            sampling,
            source,
            task,
            pairs,
            _SAMPLES,
            lambda made: (made.images,),
        )
        self.made_samples.add(caller().owner, len(pairs))
        return ran

    async def hybrids(
        self,
        generator: Generator,
        wanted: str,
        intervention: Intervention,
        source: PairSource,
        pairs: range,
    ) -> Ran[Hybrids]:
        """Both originals and the hybrid of every pair, in a precision."""

        def task(some: range) -> Graft:
            return Graft(intervention, lambda: source.latents(some))

        def kind(on: Generator) -> Kind[Graft, Any, Hybrids]:
            return grafting(on, intervention)

        ran = await self._made(
            generator,
            wanted,
            kind,
            source,
            task,
            pairs,
            _HYBRIDS,
            lambda made: (made.original1, made.original2, made.hybrid),
        )
        self.made_hybrids.add((Work.INTERACTIVE, caller().owner), len(pairs))
        return ran

    async def half(
        self, kind: Halving, rows: Callable[[range], Latents], samples: int
    ) -> Mapping[str, NDArray[np.generic]]:
        """What a half of a generator gives, by name.

        Args:
            kind: which half.
            rows: gives what it takes, of some of the samples.
            samples: how many there are.
        """

        def task(some: range) -> Callable[[], Latents]:
            return lambda: rows(some)

        return await self._in_parts(kind, task, range(samples), _ROWS)

    async def explored(
        self,
        exploration: Exploration,
        source: PairSource,
        turn: Turn,
        finish: Callable[[Shown], _Made],
        *,
        originals: bool,
    ) -> _Made:
        """What was asked of an exploration last, by the time that a thread is free.

        Args:
            exploration: of which pairs.
            source: gives them.
            turn: what was asked.
            finish: makes what is sent of the images, in the same thread.
            originals: whether they are wanted too.
        """
        owner = caller().owner

        def make(
            ready: Sequence[Intervention | None], cancellation: Cancellation
        ) -> Sequence[_Made]:
            shown = exploration.made(ready[0], cancellation, originals=originals)
            if shown.hybrid is not None:
                self.made_hybrids.add((Work.EXPLORE, owner), exploration.count)
            return [finish(shown)]

        is_open = partial(exploration.is_open, turn.intervention)
        kind = Kind(object(), 1, Turn.begin, make, is_open)
        kind = _with_encoder(kind, exploration.generator, source)
        return await self.batching.make(kind, turn, 1, caller().share)

    async def posterior(
        self, generator: Generator, wanted: str, images: NDArray[np.uint8]
    ) -> Ran[_Posterior]:
        """Mean, and logarithm of the variance if told, of every image, in a precision."""

        def make(cancellation: Cancellation) -> Ran[_Posterior]:
            return run_in(
                generator,
                wanted,
                lambda on, count: _encode(on, images[:count], cancellation),
                lambda made: made[:1],  # The means: variances of collapsed latents have no scale.
            )

        ran = await self.run(make)
        self.made_encodings.add(caller().owner, len(images))
        return ran

    async def run(self, work: Callable[[Cancellation], _Made]) -> _Made:
        """Runs one call's work by itself."""
        return await self.batching.alone(work, caller().share)

    async def _made(
        self,
        generator: Generator,
        wanted: str,
        kind_on: Callable[[Generator], Kind[_Task, Any, _Made]],
        source: PairSource,
        task: Callable[[range], _Task],
        pairs: range,
        form: "_Form[_Made]",
        images_of: Callable[[_Made], Sequence[NDArray[np.float32]]],
    ) -> Ran[_Made]:
        """Makes a call's pairs, a part at a time so that in float32 it leaves room for others."""
        if wanted == Precision.FP32.value:
            kind = _with_encoder(kind_on(generator), generator, source)
            return Ran(await self._in_parts(kind, task, pairs, form), generator.backend)
        image = generator.manifest.image

        def work(cancellation: Cancellation) -> Ran[_Made]:
            def make(on: Generator, count: int | None) -> _Made:
                kind, chosen = kind_on(on), pairs[:count]
                whole = _Whole(form, len(chosen))
                for some in _parts(chosen, kind.limit):
                    whole.add(kind.make(task(some), cancellation))
                return whole.made

            return run_in(generator, wanted, make, images_of, width=image.high - image.low)

        return await self.run(work)

    async def _in_parts(
        self,
        kind: Kind[_Task, Any, _Made],
        task: Callable[[range], _Task],
        pairs: range,
        form: "_Form[_Made]",
    ) -> _Made:
        asker, whole = caller().share, _Whole(form, len(pairs))
        for some in _parts(pairs, kind.limit):
            part = await self.batching.make(kind, task(some), len(some), asker)
            if len(some) == len(pairs):
                return part
            # Several are copied, off the event loop.
            await asyncio.to_thread(whole.add, part)
        return whole.made


def _with_encoder(
    kind: Kind[_Task, Any, _Made], generator: Generator, source: PairSource
) -> Kind[_Task, Any, _Made]:
    """A kind whose pairs are photographs, which are encoded when they are drawn."""
    if source.kind not in PHOTOGRAPHS or not generator.manifest.HasField("encoder"):
        return kind
    encoder = generator.encoder().file
    return replace(kind, is_open=lambda: kind.is_open() and generator.is_open(encoder))


def _parts(pairs: range, size: int) -> list[range]:
    return [pairs[start : start + size] for start in range(0, len(pairs), size)]


@dataclass(frozen=True)
class _Form(Generic[_Made]):
    """What is made, as arrays of as many rows as there are pairs, by name; and back."""

    apart: Callable[[_Made], Mapping[str, NDArray[np.generic]]]
    together: Callable[[dict[str, NDArray[Any]]], _Made]


_SAMPLES = _Form(
    lambda made: {"": made.images, **made.latents},
    lambda arrays: Samples({name: x for name, x in arrays.items() if name}, arrays[""]),
)
_ROWS: _Form[Rows] = _Form(lambda made: made, lambda arrays: arrays)
_HYBRIDS: _Form[Hybrids] = _Form(vars, lambda arrays: Hybrids(**arrays))


class _Whole(Generic[_Made]):
    """What a call asked for, which grows part by part in the arrays that it is answered with.

    Parts that were kept until the last would take as much memory again.
    """

    def __init__(self, form: _Form[_Made], count: int) -> None:
        self._form, self._count = form, count
        self._done = 0
        self._arrays: dict[str, NDArray[Any]] = {}

    def add(self, part: _Made) -> None:
        """Copies the next part."""
        arrays = self._form.apart(part)
        size = max(map(len, arrays.values()))
        for name, array in arrays.items():
            if name not in self._arrays:
                self._arrays[name] = np.empty((self._count, *array.shape[1:]), array.dtype)
            self._arrays[name][self._done : self._done + size] = array
        self._done += size

    @property
    def made(self) -> _Made:
        """All parts."""
        return self._form.together(self._arrays)


def _encode(
    generator: Generator, images: NDArray[np.uint8], cancellation: Cancellation
) -> _Posterior:
    image = generator.manifest.image
    size = ENCODED_A_RUN
    batches = [images[i : i + size] for i in range(0, len(images), size)]
    parts = [generator.encode(to_range(batch, image), cancellation) for batch in batches]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
