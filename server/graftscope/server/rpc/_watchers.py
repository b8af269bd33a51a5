"""What those who watch a job ask for beside its state, and have heard of it."""

import asyncio
from collections.abc import Hashable
from contextlib import ExitStack
from typing import Self

import numpy as np
from numpy.typing import NDArray

from graftscope.server.jobs import (
    Asked,
    Attempt,
    Live,
    ModulesQuestion,
    ModulesSoFar,
    Snapshot,
    SoFar,
    SoFars,
)
from graftscope.server.rpc._partial_modules import watched
from graftscope.server.rpc._previews import preview
from graftscope.v1 import analysis_service_pb2

# Between two previews of maps, at least.
_EVERY_S = 1.0

# Modules in hardly more pairs tell nothing new: each answer is of a tenth more than the one before.
_GROWN = 1.1

_MAPS = "maps"

Update = analysis_service_pb2.WatchOperationResponse


class Watcher:
    """Asks for somebody, for as long as a block lasts.

    Args:
        so_fars: what jobs amount to.
        maps: whether previews of the maps are wanted.
        question: which modules are wanted, if any.
    """

    def __init__(self, so_fars: SoFars, *, maps: bool, question: ModulesQuestion | None) -> None:
        self._so_fars, self._maps, self._question = so_fars, maps, question
        # What the next modules are named after.
        self._labels: dict[str, NDArray[np.int64]] = dict(question.named_as) if question else {}
        self._live: Live | None = None
        self._asking = ExitStack()
        self._asked: dict[Hashable, Asked] = {}
        self._heard: dict[Hashable, object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """What nobody else asks is computed no further."""
        self._asking.close()

    async def news(self, snapshot: Snapshot) -> list[Update]:
        """What there is by now and was not told yet."""
        live = self._so_fars.live(snapshot.job.id)
        if live is None or snapshot.job.state.ended or not (self._maps or self._question):
            return []
        self._follow(live)
        so_far = await self._so_fars.watched(live, snapshot)
        if so_far is None:
            return []
        updates = []
        if asked := self._asked.get(_MAPS):
            self._consider_maps(asked, so_far, live)
            updates += self._maps_told(asked)
        if self._question is not None:
            asked = self._asked[self._question]
            if asked.answer is None or so_far.sums.shards >= _GROWN * asked.answer.shards:
                self._so_fars.consider_modules(asked, self._question, so_far, live.beside)
            updates += self._modules_told(asked, self._question)
        return updates

    def _follow(self, live: Live) -> None:
        """Asks where the job is: another server may have taken it up, or this one."""
        if live is self._live:
            return
        self._asking.close()
        self._live, self._heard = live, {}
        wanted = [each for each in (self._maps and _MAPS, self._question) if each]
        self._asked = {
            each: self._asking.enter_context(live.beside.asking(each)) for each in wanted
        }

    @staticmethod
    def _consider_maps(asked: Asked, so_far: SoFar, live: Live) -> None:
        def previewed(attempt: Attempt) -> analysis_service_pb2.PartialMaps:
            with attempt.timed():
                return preview(so_far)

        async def make(attempt: Attempt) -> analysis_service_pb2.PartialMaps:
            return await asyncio.to_thread(previewed, attempt)

        live.beside.consider(asked, so_far.sums.shards, make, every_s=_EVERY_S)

    def _maps_told(self, asked: Asked) -> list[Update]:
        if asked.answer is None or not self._is_new("maps", asked.answer):
            return []
        return [Update(partial_maps=asked.answer.value)]

    def _modules_told(self, asked: Asked, question: ModulesQuestion) -> list[Update]:
        if asked.answer is not None and self._is_new("modules", asked.answer):
            self._heard["put off"] = ""
            found: ModulesSoFar = asked.answer.value.named_as(self._labels)
            self._labels |= found.labels
            return [Update(partial_modules=watched(question, found))]
        if asked.put_off and self._is_new("put off", asked.put_off):
            skipped = analysis_service_pb2.ModulesSoFar(skipped=asked.put_off)
            return [Update(partial_modules=skipped)]
        return []

    def _is_new(self, what: str, told: object) -> bool:
        is_new = self._heard.get(what) is not told
        self._heard[what] = told
        return is_new
