"""What is known of influence maps beside the maps, and stays with modules that are found in them.

Axis letters: C channels.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from graftscope.client.arrays import Axes, Source
from graftscope.client.values._contents import FloatArray, IntArray
from graftscope.client.values._influence import InfluenceResult


@dataclass(frozen=True, eq=False)
class OfMaps:
    """What is known of C maps beside them.

    Args:
        source: Which model and layer they are of; None where that is not known.
        channels: (C,) int64, the channel that each is of; None where that is not known, or they
            are of modules or interventions.
        individual: (C,) individual influences, in the image's own units; None where not known.
        individual_stderr: (C,) their standard errors; likewise.
        range_width: Width of the image's range; NaN where not known.
    """

    source: Source | None = None
    channels: Annotated[IntArray | None, Axes("C", optional=True)] = None
    individual: Annotated[FloatArray | None, Axes("C", optional=True)] = None
    individual_stderr: Annotated[FloatArray | None, Axes("C", optional=True)] = None
    range_width: float = math.nan

    @classmethod
    def of(cls, result: InfluenceResult) -> "OfMaps":
        """Take it from a result."""
        return cls(
            result.source,
            result.channels if result.subject in ("", "channels") else None,
            result.individual,
            result.individual_stderr,
            result.range_width,
        )
