"""Rewrites that keep a graph's numbers and make it faster."""

from graftscope.graph.rewrites._effects import (
    CHUNKS,
    DEFER,
    FOLD,
    GROUPS,
    REWRITES,
    SHARE,
    SUBPIXEL,
    UPSAMPLE,
    ChannelEffects,
    channel_effects,
    rewrite,
)
from graftscope.graph.rewrites._swap import CHANNELS

__all__ = [
    "CHANNELS",
    "CHUNKS",
    "DEFER",
    "FOLD",
    "GROUPS",
    "REWRITES",
    "SHARE",
    "SUBPIXEL",
    "UPSAMPLE",
    "ChannelEffects",
    "channel_effects",
    "rewrite",
]
