"""What a module is worth: is it faithful, does it act by itself, what reaches what, who is fooled.

Each analysis makes images, looks at them, and gives arrays and numbers with their errors. It knows
the engine and the statistics of `graftscope.server.analysis`; it must not know jobs, gRPC or
who asks.
"""

from graftscope.server.worth._compared_sets import Beside
from graftscope.server.worth._faithfulness import Faithfulness
from graftscope.server.worth._independence import Independence
from graftscope.server.worth._making import Making
from graftscope.server.worth._measure import BATCH_PAIRS, Each, Found, Measure, batches, in_order
from graftscope.server.worth._modules import Modules
from graftscope.server.worth._networks import Looks
from graftscope.server.worth._probe import Classifier, Probe
from graftscope.server.worth._reach import Reach
from graftscope.server.worth._targets import (
    NetworkScore,
    RegionTarget,
    ScoreOf,
    ScoreTarget,
    Target,
)
from graftscope.server.worth._units import ChannelUnits, LatentUnits

__all__ = [
    "BATCH_PAIRS",
    "Beside",
    "ChannelUnits",
    "Classifier",
    "Each",
    "Faithfulness",
    "Found",
    "Independence",
    "LatentUnits",
    "Looks",
    "Making",
    "Measure",
    "Modules",
    "NetworkScore",
    "Probe",
    "Reach",
    "RegionTarget",
    "ScoreOf",
    "ScoreTarget",
    "Target",
    "batches",
    "in_order",
]
