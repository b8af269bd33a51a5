"""What a job of independence measures. It must not know databases, watchers or gRPC."""

import numpy as np
from numpy.typing import NDArray

from graftscope.server.jobs._networks import features_of
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._worth_specs import IndependenceSpec
from graftscope.server.worth import Independence, Making, Modules


def independence_of(
    spec: IndependenceSpec, making: Making, modules: Modules, resolver: Resolver
) -> Independence:
    """The measure of a job, ready to run.

    Raises:
        NotFound: an array or a network is gone.
        Corrupt: a stored array is damaged.
    """

    def templates() -> NDArray[np.float64]:
        assert spec.templates is not None
        return resolver.artifacts.get(spec.templates, "templates").astype(np.float64)

    return Independence(
        making,
        spec.layer,
        modules,
        features_of(spec.features, making.generator, resolver),
        first=spec.first,
        pairs=spec.pairs,
        percentile=spec.percentile,
        templates=None if spec.templates is None else templates,
    )
