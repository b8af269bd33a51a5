"""Quantised networks in plain form: what is multiplied and added is float32, rounded in between.

    dequantise(model)

Convolutions are found, cut, spliced and rewritten as those of any network, while every activation
is rounded as in the file: to the same steps, in plain arithmetic.

1. Weights and biases become float32, and so do `QLinearConv`, `QGemm` and their like, between a
   `DequantizeLinear` and a `QuantizeLinear`; and these become plain arithmetic.
2. A network that measures its scales as it runs (`DynamicQuantizeLinear`) measures them over the
   whole batch, so that a sample depends on the others; here every sample has scales of its own,
   which are the file's where it is run alone.
3. What is rounded alike is rounded once, however often it is read.
"""

from graftscope.graph.quantised._marks import (
    before_rounding_to_steps,
    behind_rounding,
    holds_whole_numbers,
    is_rounding,
    rounding_to_nearest,
)
from graftscope.graph.quantised._plain import Dequantised, dequantise

__all__ = [
    "Dequantised",
    "before_rounding_to_steps",
    "behind_rounding",
    "dequantise",
    "holds_whole_numbers",
    "is_rounding",
    "rounding_to_nearest",
]
