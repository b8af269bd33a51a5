"""Arguments that belong together, gathered on their way from a client's method to a request."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client._originals import Originals


@dataclass(frozen=True)
class PairChoice:
    """Which pairs of originals: `count` from index `first` on, drawn with `seed`."""

    count: int
    seed: int
    first: int
    originals: Originals | None


@dataclass(frozen=True, eq=False)
class ChannelChoice:
    """E, the channels to assign: their indices, or a module of labels."""

    channels: Sequence[int] | None
    labels: NDArray[np.integer] | None
    module: int | None
