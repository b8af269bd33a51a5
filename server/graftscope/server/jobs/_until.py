"""Stopping rules as plain values; they are part of a job's identity.

It must not know protobuf, sums or how a rule is decided.
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class RelativeErrorSpec:
    """Until every individual influence is known to a relative standard error.

    Attributes:
        error: above 0 and below 1.
        version: of the decision.
    """

    error: float
    version: int = 1
    rule: str = "relative_standard_error"


@dataclass(frozen=True)
class StableLabelsSpec:
    """Until the labels of modules stay what they are over the last half of the pairs.

    Attributes:
        k: number of modules, at least 2.
        method: nmf, kmeans, pca or spectral.
        seed: of the method.
        window: side of the averaging window in pixels, odd.
        percentile: between 0 and 100.
        version: of the decision.
    """

    k: int
    method: str
    seed: int
    window: int
    percentile: float
    version: int = 1
    rule: str = "stable_labels"


UntilSpec: TypeAlias = RelativeErrorSpec | StableLabelsSpec
