"""Sessions, runs and sums: what computes hybrids and their effects.

    catalogue = Catalogue(open_bundles([path]), SessionPool(Device.CPU, limit=16))
    generator = catalogue.find("models/vae-celeba")
    layer = generator.layer("intermediate")

It knows bundles, graphs and ONNX Runtime; it must not know jobs or gRPC.
"""

from graftscope.server.engine._catalogue import Catalogue, find_bundles, open_bundles
from graftscope.server.engine._devices import Device, check_device
from graftscope.server.engine._generator import Effects, Generator, Latents, Recording
from graftscope.server.engine._hybridize import Hybrids, channel_set, hybridize
from graftscope.server.engine._influence import (
    PRODUCT_SIDE,
    Batch,
    ShardEffects,
    Subject,
    record_batch,
    set_effects,
    shard_effects,
)
from graftscope.server.engine._originals import (
    DrawnImagePairs,
    EncodedPairs,
    GivenImagePairs,
    GivenPairs,
    PairSource,
    PriorPairs,
    check_latents,
    encode,
    to_range,
)
from graftscope.server.engine._plan import ARITHMETIC_VERSION, SHARD_PAIRS, Plan, choose_plan
from graftscope.server.engine._sessions import Cancellation, Session, SessionPool

__all__ = [
    "ARITHMETIC_VERSION",
    "PRODUCT_SIDE",
    "SHARD_PAIRS",
    "Batch",
    "Cancellation",
    "Catalogue",
    "Device",
    "DrawnImagePairs",
    "Effects",
    "EncodedPairs",
    "Generator",
    "GivenImagePairs",
    "GivenPairs",
    "Hybrids",
    "Latents",
    "PairSource",
    "Plan",
    "PriorPairs",
    "Recording",
    "Session",
    "SessionPool",
    "ShardEffects",
    "Subject",
    "channel_set",
    "check_device",
    "check_latents",
    "choose_plan",
    "encode",
    "find_bundles",
    "hybridize",
    "open_bundles",
    "record_batch",
    "set_effects",
    "shard_effects",
    "to_range",
]
