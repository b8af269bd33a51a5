"""The contract's names of precisions, and the engine's."""

from graftscope.v1 import precision_pb2

PRECISIONS = {
    "fp32": precision_pb2.PRECISION_FP32,
    "bf16": precision_pb2.PRECISION_BF16,
    "tf32": precision_pb2.PRECISION_TF32,
    "fp16": precision_pb2.PRECISION_FP16,
    "auto": precision_pb2.PRECISION_AUTO,
}
"""Every precision that may be asked for; what ran is never `auto`."""
