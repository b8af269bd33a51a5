"""Interventions: what is assigned to which channels of which layers, where, and with what.

It stands below values and the wire: an intervention reads and writes itself, through the contract's
messages.
"""

from graftscope.client.interventions._actions import (
    PRIOR_MEAN,
    Action,
    Add,
    Blend,
    Constant,
    Donor,
    ImageDonor,
    Original2,
    PriorMean,
    Scale,
    StoredLatents,
    Swap,
)
from graftscope.client.interventions._channels import (
    ChannelNumbers,
    GivenChannels,
    HasChannels,
    channel_numbers,
    some_channels,
)
from graftscope.client.interventions._edits import Edit, Mask, ModuleOf, Rectangle, require
from graftscope.client.interventions._intervention import Intervention
from graftscope.client.interventions._messages import UNIONS, edits_of, inline, message_of

__all__ = [
    "PRIOR_MEAN",
    "UNIONS",
    "Action",
    "Add",
    "Blend",
    "ChannelNumbers",
    "Constant",
    "Donor",
    "Edit",
    "GivenChannels",
    "HasChannels",
    "ImageDonor",
    "Intervention",
    "Mask",
    "ModuleOf",
    "Original2",
    "PriorMean",
    "Rectangle",
    "Scale",
    "StoredLatents",
    "Swap",
    "channel_numbers",
    "edits_of",
    "inline",
    "message_of",
    "require",
    "some_channels",
]
