"""A precision on the wire."""

from graftscope.client._execution import Precision, checked_precision
from graftscope.v1 import precision_pb2

_NUMBERS = {
    Precision.FP32: precision_pb2.PRECISION_FP32,
    Precision.BF16: precision_pb2.PRECISION_BF16,
    Precision.TF32: precision_pb2.PRECISION_TF32,
    Precision.FP16: precision_pb2.PRECISION_FP16,
    Precision.AUTO: precision_pb2.PRECISION_AUTO,
}


def precision_to_proto(word: str) -> precision_pb2.Precision.ValueType:
    """Ask for a precision.

    Raises:
        InputError: If there is none of that name.
    """
    return _NUMBERS[checked_precision(word)]
