"""From the picture to the channels: regions of the image, and which channels act inside them.

Nothing is asked of a server: it must not know wire, calls or clients.
"""

from graftscope.client.finding._channels import (
    FOUND_FROM,
    FoundChannels,
    check_whole,
    find_channels,
)
from graftscope.client.finding._regions import Contrast, areas, rectangle_region, region_at

__all__ = [
    "FOUND_FROM",
    "Contrast",
    "FoundChannels",
    "areas",
    "check_whole",
    "find_channels",
    "rectangle_region",
    "region_at",
]
