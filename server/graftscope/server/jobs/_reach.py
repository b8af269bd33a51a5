"""What a job of reach measures. It must not know databases, watchers or gRPC."""

import numpy as np

from graftscope.server.errors import Unsupported
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._worth_specs import ReachSpec
from graftscope.server.worth import Making, Reach, RegionTarget, Target


def reach_of(spec: ReachSpec, making: Making, resolver: Resolver) -> Reach:
    """The measure of a job, ready to run.

    Raises:
        NotFound: an array is gone.
        Corrupt: a stored array is damaged.
    """
    return Reach(
        making,
        _target(spec, making, resolver),
        spec.layers,
        first=spec.first,
        pairs=spec.pairs,
        most=spec.units,
        seed=spec.draws,
    )


def _target(spec: ReachSpec, making: Making, resolver: Resolver) -> Target:
    if spec.region is None:
        raise Unsupported("scores are not implemented yet", field="score")
    region = resolver.artifacts.get(spec.region, "region").astype(np.float64, copy=False)
    return RegionTarget(region, making.width)
