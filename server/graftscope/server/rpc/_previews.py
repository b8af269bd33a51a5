"""Small pictures of the maps of a job that goes on, made once for all who watch it."""

import asyncio
import math
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from graftscope.codec import INLINE_LIMIT_BYTES, tensor
from graftscope.server.analysis import area_means
from graftscope.server.jobs import Sums
from graftscope.v1 import analysis_service_pb2

_PREVIEW_SIDE = 32


class Previews:
    """Maps as they stand, averaged to areas; each is made once, whoever asks for it."""

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[Sums, asyncio.Task[analysis_service_pb2.PartialMaps]]
        self._made = WeakKeyDictionary()

    async def of(self, sums: Sums) -> analysis_service_pb2.PartialMaps:
        """The maps of these sums; who leaves meanwhile takes it from nobody else."""
        made = self._made.get(sums)
        if made is None:
            made = self._made[sums] = asyncio.ensure_future(asyncio.to_thread(_partial, sums))
        return await asyncio.shield(made)


def _partial(sums: Sums) -> analysis_service_pb2.PartialMaps:
    return analysis_service_pb2.PartialMaps(
        pairs=sums.pairs,
        maps=tensor(_shrink(sums.map_estimate.mean).astype(np.float32)),
        individual=tensor(sums.individual_estimate.mean.ravel()),
    )


def _shrink(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """(E, H, W) averaged to areas so that no side is longer than 32, or all are 1 MiB of FP32."""
    return area_means(
        maps, min(_PREVIEW_SIDE, math.isqrt(INLINE_LIMIT_BYTES // 4 // len(maps)) or 1)
    )
