"""From the picture to the channels: regions of the image, what acts inside them, what spills out.

Nothing is asked of a server: it must not know wire, calls or clients.
"""

from graftscope.client.finding._channels import (
    FOUND_FROM,
    FoundChannels,
    check_whole,
    find_channels,
)
from graftscope.client.finding._regions import Contrast, areas, rectangle_region, region_at
from graftscope.client.finding._spill import Spill, spill

__all__ = [
    "FOUND_FROM",
    "Contrast",
    "FoundChannels",
    "Spill",
    "areas",
    "check_whole",
    "find_channels",
    "rectangle_region",
    "region_at",
    "spill",
]
