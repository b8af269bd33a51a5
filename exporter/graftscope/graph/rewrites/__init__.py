"""Rewrites that keep a graph's numbers and make it faster."""

from graftscope.graph.rewrites._chain import Elementwise, Stage, chain_above, chain_of
from graftscope.graph.rewrites._effects import (
    CHUNKS,
    COMPILE,
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
from graftscope.graph.rewrites._groups import convolutions_behind
from graftscope.graph.rewrites._swap import CHANNELS

__all__ = [
    "CHANNELS",
    "CHUNKS",
    "COMPILE",
    "DEFER",
    "FOLD",
    "GROUPS",
    "REWRITES",
    "SHARE",
    "SUBPIXEL",
    "UPSAMPLE",
    "ChannelEffects",
    "Elementwise",
    "Stage",
    "chain_above",
    "chain_of",
    "channel_effects",
    "convolutions_behind",
    "rewrite",
]
