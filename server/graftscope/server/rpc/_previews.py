"""Small pictures of the maps of a job that goes on."""

import math

import numpy as np
from numpy.typing import NDArray

from graftscope.codec import INLINE_LIMIT_BYTES, tensor
from graftscope.server.analysis import area_means
from graftscope.server.jobs import SoFar
from graftscope.v1 import analysis_service_pb2

SIDE = 32
"""No side is longer."""


def preview(so_far: SoFar) -> analysis_service_pb2.PartialMaps:
    """Maps as they stand, averaged to areas, with what is known of them."""
    spec, sums = so_far.work.spec, so_far.sums
    individual = sums.individual_estimate
    message = analysis_service_pb2.PartialMaps(
        pairs=sums.pairs,
        maps=tensor(shrunk(sums.map_estimate.mean).astype(np.float32)),
        individual=tensor(individual.mean.ravel()),
        individual_stderr=tensor(individual.stderr().ravel()),
        pairs_of=tensor(sums.pairs_of),
    )
    if sums.race is not None:
        message.settled.CopyFrom(tensor(sums.race.settled))
    if spec.each_layer:
        message.layers.extend(each.layer for each in spec.each_layer)
        message.layer_of.CopyFrom(tensor(spec.layer_of))
    return message


def shrunk(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """(E, H, W) averaged to areas so that no side is longer than 32, or all are 1 MiB of FP32."""
    return area_means(maps, min(SIDE, math.isqrt(INLINE_LIMIT_BYTES // 4 // len(maps)) or 1))
