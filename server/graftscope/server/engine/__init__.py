"""Sessions, runs and sums: what computes hybrids and their effects.

    catalogue = Catalogue(open_bundles([path]), SessionPool(Device.CPU, limit=16))
    generator = catalogue.find("models/vae-celeba")
    layer = generator.layer("intermediate")

It knows bundles, graphs and ONNX Runtime; it must not know jobs or gRPC.
"""

from graftscope.server.engine._batching import Batching, Kind
from graftscope.server.engine._cancellation import Cancellation, cancellation_here, check_here
from graftscope.server.engine._catalogue import Catalogue, find_bundles, open_bundles
from graftscope.server.engine._compiled_layers import can_compile, describe_compiler
from graftscope.server.engine._copies import HeldBundle, served_digests
from graftscope.server.engine._corrections import (
    choose_corrected,
    corrected,
    corrected_batches,
    corrected_share,
)
from graftscope.server.engine._deviation import (
    Deviation,
    Ran,
    choose_close,
    deviation,
    is_plain,
    run_in,
)
from graftscope.server.engine._devices import (
    Device,
    check_device,
    describe_devices,
    openvino,
)
from graftscope.server.engine._edited_photographs import EditedPhotographs, edit_photographs
from graftscope.server.engine._edits import (
    ORIGINAL2,
    Donor,
    Edit,
    Intervention,
)
from graftscope.server.engine._exploration import Exploration, Shown
from graftscope.server.engine._generator import (
    CHANNEL_AXES,
    Generator,
    Latents,
)
from graftscope.server.engine._halves import (
    FREE,
    Halves,
    Halving,
    Rows,
    Tensor,
    downstream,
    halves,
    image_of,
    inputs_of,
    upstream,
)
from graftscope.server.engine._image_network import ImageFeatures, ImageNetwork, open_network
from graftscope.server.engine._inputs import (
    check_input,
    check_latents,
    check_missing,
    check_names,
    complete,
    left_out,
)
from graftscope.server.engine._layered_sets import LayeredSets
from graftscope.server.engine._machine_kind import processor_here
from graftscope.server.engine._machine_memory import machine_bytes, resident_bytes
from graftscope.server.engine._memo import Memo
from graftscope.server.engine._memory import GIB, MIB, MemoryBudget, Need, said
from graftscope.server.engine._network_form import Reads
from graftscope.server.engine._originals import (
    ConstrainedPairs,
    DrawnImagePairs,
    EncodedPairs,
    GivenImagePairs,
    GivenPairs,
    PairSource,
    PriorPairs,
    encode,
    image_input,
    photograph_input,
    to_range,
)
from graftscope.server.engine._plan import (
    ARITHMETIC_VERSION,
    SHARD_PAIRS,
    Plan,
    runs_side_by_side,
)
from graftscope.server.engine._precision import AUTO, Backend, Precision
from graftscope.server.engine._reckoning import (
    CALL_BYTES,
    ENCODED_A_RUN,
    encodings_bytes,
    exploration_bytes,
    half_bytes,
    hybrids_bytes,
    largest_run_bytes,
    samples_bytes,
)
from graftscope.server.engine._samples_and_hybrids import (
    Graft,
    Hybrids,
    Samples,
    grafting,
    samples_a_run,
    sampling,
)
from graftscope.server.engine._served_bundles import ServedBundles
from graftscope.server.engine._sessions import (
    SessionPool,
)
from graftscope.server.engine._shards import (
    ShardEffects,
    shard_effects,
)
from graftscope.server.engine._subjects import (
    ChannelSets,
    Interventions,
    Subject,
    channel_set,
)
from graftscope.server.engine._timings import KeptTimings, Timings
from graftscope.server.engine._trials import Trial, choose, seconds_a_pair
from graftscope.server.engine._turns import JOB_SHARE, Turns
from graftscope.server.engine._usual_features import EncoderFeatures, usual_features

__all__ = [
    "ARITHMETIC_VERSION",
    "AUTO",
    "CALL_BYTES",
    "CHANNEL_AXES",
    "ENCODED_A_RUN",
    "FREE",
    "GIB",
    "JOB_SHARE",
    "MIB",
    "ORIGINAL2",
    "SHARD_PAIRS",
    "Backend",
    "Batching",
    "Cancellation",
    "Catalogue",
    "ChannelSets",
    "ConstrainedPairs",
    "Deviation",
    "Device",
    "Donor",
    "DrawnImagePairs",
    "Edit",
    "EditedPhotographs",
    "EncodedPairs",
    "EncoderFeatures",
    "Exploration",
    "Generator",
    "GivenImagePairs",
    "GivenPairs",
    "Graft",
    "Halves",
    "Halving",
    "HeldBundle",
    "Hybrids",
    "ImageFeatures",
    "ImageNetwork",
    "Intervention",
    "Interventions",
    "KeptTimings",
    "Kind",
    "Latents",
    "LayeredSets",
    "Memo",
    "MemoryBudget",
    "Need",
    "PairSource",
    "Plan",
    "Precision",
    "PriorPairs",
    "Ran",
    "Reads",
    "Rows",
    "Samples",
    "ServedBundles",
    "SessionPool",
    "ShardEffects",
    "Shown",
    "Subject",
    "Tensor",
    "Timings",
    "Trial",
    "Turns",
    "can_compile",
    "cancellation_here",
    "channel_set",
    "check_device",
    "check_here",
    "check_input",
    "check_latents",
    "check_missing",
    "check_names",
    "choose",
    "choose_close",
    "choose_corrected",
    "complete",
    "corrected",
    "corrected_batches",
    "corrected_share",
    "describe_compiler",
    "describe_devices",
    "deviation",
    "downstream",
    "edit_photographs",
    "encode",
    "encodings_bytes",
    "exploration_bytes",
    "find_bundles",
    "grafting",
    "half_bytes",
    "halves",
    "hybrids_bytes",
    "image_input",
    "image_of",
    "inputs_of",
    "is_plain",
    "largest_run_bytes",
    "left_out",
    "machine_bytes",
    "open_bundles",
    "open_network",
    "openvino",
    "photograph_input",
    "processor_here",
    "resident_bytes",
    "run_in",
    "runs_side_by_side",
    "said",
    "samples_a_run",
    "samples_bytes",
    "sampling",
    "seconds_a_pair",
    "served_digests",
    "shard_effects",
    "to_range",
    "upstream",
    "usual_features",
]
