"""What a module is worth: is it faithful, does it act by itself, what reaches what, who is fooled.

Each analysis makes images, looks at them, and gives arrays and numbers with their errors. It knows
the engine and the statistics of `graftscope.server.analysis`; it must not know jobs, gRPC or
who asks.
"""

from graftscope.server.worth._making import Making
from graftscope.server.worth._measure import BATCH_PAIRS, Each, Found, Measure, batches, in_order
from graftscope.server.worth._modules import Modules

__all__ = [
    "BATCH_PAIRS",
    "Each",
    "Found",
    "Making",
    "Measure",
    "Modules",
    "batches",
    "in_order",
]
