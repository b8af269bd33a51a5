"""The contract's enumerations in the client's words; values of a newer contract are refused."""

from collections.abc import Mapping
from typing import TypeVar

from graftscope.client._encodings import ImageEncoding
from graftscope.client._execution import Precision
from graftscope.client._jobs import JobState
from graftscope.client._models import LayerKind
from graftscope.client._tasks import Method
from graftscope.client._version import client_version
from graftscope.client.errors import VersionError
from graftscope.v1 import (
    analysis_service_pb2,
    bundle_pb2,
    model_service_pb2,
    precision_pb2,
)

Word = TypeVar("Word", LayerKind, JobState, Method, Precision)

LAYER_KINDS: Mapping[int, LayerKind] = {
    bundle_pb2.LAYER_KIND_MAP: LayerKind.MAP,
    bundle_pb2.LAYER_KIND_VECTOR: LayerKind.VECTOR,
    bundle_pb2.LAYER_KIND_TOKENS: LayerKind.TOKENS,
}

JOB_STATES: Mapping[int, JobState] = {
    analysis_service_pb2.JOB_STATE_QUEUED: JobState.QUEUED,
    analysis_service_pb2.JOB_STATE_RUNNING: JobState.RUNNING,
    analysis_service_pb2.JOB_STATE_DONE: JobState.DONE,
    analysis_service_pb2.JOB_STATE_CANCELLED: JobState.CANCELLED,
    analysis_service_pb2.JOB_STATE_FAILED: JobState.FAILED,
}

METHODS: Mapping[int, Method] = {
    analysis_service_pb2.METHOD_UNSPECIFIED: Method.NMF,
    analysis_service_pb2.METHOD_NMF: Method.NMF,
    analysis_service_pb2.METHOD_KMEANS: Method.KMEANS,
    analysis_service_pb2.METHOD_PCA: Method.PCA,
    analysis_service_pb2.METHOD_SPECTRAL: Method.SPECTRAL,
}

PRECISIONS: Mapping[int, Precision] = {
    precision_pb2.PRECISION_UNSPECIFIED: Precision.FP32,
    precision_pb2.PRECISION_FP32: Precision.FP32,
    precision_pb2.PRECISION_BF16: Precision.BF16,
    precision_pb2.PRECISION_TF32: Precision.TF32,
    precision_pb2.PRECISION_FP16: Precision.FP16,
    precision_pb2.PRECISION_AUTO: Precision.AUTO,
}

ENCODINGS: Mapping[ImageEncoding | None, model_service_pb2.ImageEncoding.ValueType] = {
    None: model_service_pb2.IMAGE_ENCODING_UNSPECIFIED,
    ImageEncoding.PNG: model_service_pb2.IMAGE_ENCODING_PNG,
    ImageEncoding.WEBP: model_service_pb2.IMAGE_ENCODING_WEBP,
}


def word_of(words: Mapping[int, Word], value: int, what: str) -> Word:
    """Translate an enumeration's value.

    Args:
        words: One of the tables of this module.
        value: The value as it came.
        what: What the enumeration is of, for the message.

    Returns:
        The client's word.

    Raises:
        VersionError: If the value is not in the table.
    """
    if value not in words:
        raise VersionError(
            f"{what} {value} is unknown to this client ({client_version()}): the server may be"
            " newer; upgrade the client"
        )
    return words[value]
