"""Sessions, runs and sums: what computes hybrids and their effects.

    catalogue = Catalogue(open_bundles([path]), SessionPool(Device.CPU, limit=16))
    generator = catalogue.find("models/vae-celeba")
    layer = generator.layer("intermediate")

It knows bundles, graphs and ONNX Runtime; it must not know jobs or gRPC.
"""

from graftscope.server.engine._catalogue import Catalogue, find_bundles, open_bundles
from graftscope.server.engine._devices import Device, check_device
from graftscope.server.engine._generator import Effects, Generator, Latents, Recording
from graftscope.server.engine._hybridize import Hybrids, assign, channel_set, hybridize
from graftscope.server.engine._influence import PRODUCT_SIDE, ShardEffects, shard_effects
from graftscope.server.engine._inputs import (
    check_input,
    check_latents,
    check_missing,
    check_names,
    complete,
)
from graftscope.server.engine._intervention import (
    Action,
    Add,
    Blend,
    Constant,
    Donor,
    Edit,
    Intervention,
    Original2,
    PriorMean,
    Scale,
    StoredLatents,
    Swap,
    plain_swap,
)
from graftscope.server.engine._originals import (
    ConstrainedPairs,
    DrawnImagePairs,
    EncodedPairs,
    GivenImagePairs,
    GivenPairs,
    PairSource,
    PriorPairs,
    encode,
    to_range,
)
from graftscope.server.engine._plan import (
    ARITHMETIC_VERSION,
    SHARD_PAIRS,
    Plan,
    choose_plan,
    runs_side_by_side,
)
from graftscope.server.engine._prior_mean import prior_mean
from graftscope.server.engine._sessions import Cancellation, Session, SessionPool
from graftscope.server.engine._subjects import Batch, ChannelSets, Interventions, Subject

__all__ = [
    "ARITHMETIC_VERSION",
    "PRODUCT_SIDE",
    "SHARD_PAIRS",
    "Action",
    "Add",
    "Batch",
    "Blend",
    "Cancellation",
    "Catalogue",
    "ChannelSets",
    "Constant",
    "ConstrainedPairs",
    "Device",
    "Donor",
    "DrawnImagePairs",
    "Edit",
    "Effects",
    "EncodedPairs",
    "Generator",
    "GivenImagePairs",
    "GivenPairs",
    "Hybrids",
    "Intervention",
    "Interventions",
    "Latents",
    "Original2",
    "PairSource",
    "Plan",
    "PriorMean",
    "PriorPairs",
    "Recording",
    "Scale",
    "Session",
    "SessionPool",
    "ShardEffects",
    "StoredLatents",
    "Subject",
    "Swap",
    "assign",
    "channel_set",
    "check_device",
    "check_input",
    "check_latents",
    "check_missing",
    "check_names",
    "choose_plan",
    "complete",
    "encode",
    "find_bundles",
    "hybridize",
    "open_bundles",
    "plain_swap",
    "prior_mean",
    "runs_side_by_side",
    "shard_effects",
    "to_range",
]
