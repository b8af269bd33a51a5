"""Graph surgery: find a generator's layers, cut it at one of them, splice there.

    model = normalise(onnx_ir.load("generator.onnx"))
    layers = find_layers(model)
    halves = cut(model, layers[0].tensor)
    influence = reduce_effects(splice(halves.downstream))

It works on graphs alone, with onnx-ir; it must not know torch, gRPC or sessions.
"""

from graftscope.graph._between_layers import LayerKernels, kernels_between
from graftscope.graph._channel_axes import is_channels_last
from graftscope.graph._cost import Cost, cost_of
from graftscope.graph._cut import Cut, cut
from graftscope.graph._distinct_names import OWN, distinct_names
from graftscope.graph._dither import VARIANTS, dither, rounds
from graftscope.graph._empty_inputs import without_empty_inputs
from graftscope.graph._encoder_form import Arrangement, EncoderForm, to_encoder_form
from graftscope.graph._fitness import refuse_unfit
from graftscope.graph._flat_image import keep_batch, reshape_output
from graftscope.graph._float32 import compute_in_float32
from graftscope.graph._foreign import foreign_operations, refuse_blocks
from graftscope.graph._free_batch import free_batch
from graftscope.graph._halves import upper_half
from graftscope.graph._image_form import (
    before_rounding,
    image_channels_first,
    image_in_float32,
    image_without_rounding,
    input_channels_first,
)
from graftscope.graph._intervention import (
    Assignment,
    Intervened,
    Slot,
    factor_name,
    intervene,
    value_name,
    where_name,
)
from graftscope.graph._layers import Layer, find_layers
from graftscope.graph._modulation import scale_instead_of_weights
from graftscope.graph._operations import operation
from graftscope.graph._plain_form import normalise, strip_metadata
from graftscope.graph._randomness import Noise, inputs_for_randomness
from graftscope.graph._reduction import (
    ADDED,
    COUNT,
    IMAGE1,
    M2,
    MEAN,
    MOMENT,
    PIXEL_MEANS,
    TOTAL,
    Areas,
    accumulate,
    reduce_effects,
)
from graftscope.graph._scattering import choose_instead_of_scattering
from graftscope.graph._shapes import LayerKind, has_batch_axis, is_tensor, static_extents
from graftscope.graph._splice import (
    DONORS,
    FIRST,
    HYBRIDS,
    OPSET_FLOOR,
    ORIGINAL1,
    ORIGINAL2,
    SAMPLES,
    SETS,
    SPLICED,
    splice,
    splice_samples,
    splicer,
)
from graftscope.graph._tensors import image_of
from graftscope.graph._values import name_ends
from graftscope.graph.errors import (
    CutError,
    FixedBatchError,
    ForeignLayoutError,
    GraphError,
    LoopError,
    NoKernelsError,
    NoLayersError,
    RandomGraphError,
    TrainingModeError,
    UnknownTensorError,
)
from graftscope.graph.quantised import (
    Dequantised,
    before_rounding_to_steps,
    dequantise,
    holds_whole_numbers,
)

__all__ = [
    "ADDED",
    "COUNT",
    "DONORS",
    "FIRST",
    "HYBRIDS",
    "IMAGE1",
    "M2",
    "MEAN",
    "MOMENT",
    "OPSET_FLOOR",
    "ORIGINAL1",
    "ORIGINAL2",
    "OWN",
    "PIXEL_MEANS",
    "SAMPLES",
    "SETS",
    "SPLICED",
    "TOTAL",
    "VARIANTS",
    "Areas",
    "Arrangement",
    "Assignment",
    "Cost",
    "Cut",
    "CutError",
    "Dequantised",
    "EncoderForm",
    "FixedBatchError",
    "ForeignLayoutError",
    "GraphError",
    "Intervened",
    "Layer",
    "LayerKernels",
    "LayerKind",
    "LoopError",
    "NoKernelsError",
    "NoLayersError",
    "Noise",
    "RandomGraphError",
    "Slot",
    "TrainingModeError",
    "UnknownTensorError",
    "accumulate",
    "before_rounding",
    "before_rounding_to_steps",
    "choose_instead_of_scattering",
    "compute_in_float32",
    "cost_of",
    "cut",
    "dequantise",
    "distinct_names",
    "dither",
    "factor_name",
    "find_layers",
    "foreign_operations",
    "free_batch",
    "has_batch_axis",
    "holds_whole_numbers",
    "image_channels_first",
    "image_in_float32",
    "image_of",
    "image_without_rounding",
    "input_channels_first",
    "inputs_for_randomness",
    "intervene",
    "is_channels_last",
    "is_tensor",
    "keep_batch",
    "kernels_between",
    "name_ends",
    "normalise",
    "operation",
    "reduce_effects",
    "refuse_blocks",
    "refuse_unfit",
    "reshape_output",
    "rounds",
    "scale_instead_of_weights",
    "splice",
    "splice_samples",
    "splicer",
    "static_extents",
    "strip_metadata",
    "to_encoder_form",
    "upper_half",
    "value_name",
    "where_name",
    "without_empty_inputs",
]
