"""What a job of faithfulness measures. It must not know databases, watchers or gRPC."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from graftscope.server.jobs._artifact_store import ArrayRef
from graftscope.server.jobs._networks import features_of
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._worth_specs import FaithfulnessSpec
from graftscope.server.worth import Beside, Faithfulness, Making, Modules


def faithfulness_of(
    spec: FaithfulnessSpec, making: Making, modules: Modules, resolver: Resolver
) -> Faithfulness:
    """The measure of a job, ready to run.

    Raises:
        NotFound: an array or a network is gone.
        Corrupt: a stored array is damaged.
    """

    def doubles(ref: ArrayRef | None, name: str) -> NDArray[np.float64] | None:
        return None if ref is None else resolver.artifacts.get(ref, name).astype(np.float64)

    def data() -> NDArray[np.uint8]:
        assert spec.data is not None
        return cast("NDArray[np.uint8]", resolver.artifacts.get(spec.data, "data"))

    beside = Beside(
        spec.controls,
        doubles(spec.individual, "individual"),
        doubles(spec.templates, "templates"),
        spec.draws,
    )
    return Faithfulness(
        making,
        spec.layer,
        modules,
        features_of(spec.features, making.generator, resolver),
        spec.features.title or spec.features.name,
        beside,
        first=spec.first,
        pairs=spec.pairs,
        images=0 if spec.data is None else spec.data.shape[0],
        data=data,
        nearest=spec.neighbours,
    )
