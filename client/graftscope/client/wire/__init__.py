"""The client's side of the contract: its values to and from `graftscope.v1` messages.

Everything here is pure: it must not know how calls are made.
"""

from graftscope.client.wire._analysis_replies import asked_arrays, response_of, result_from
from graftscope.client.wire._analysis_requests import (
    influence_request,
    magnitude_request,
    modules_request,
    stability_request,
)
from graftscope.client.wire._arrays import arrays_of
from graftscope.client.wire._chunks import Assembly, upload_requests
from graftscope.client.wire._interventions import (
    inline,
    intervention_from_proto,
    intervention_to_proto,
)
from graftscope.client.wire._models import manifest_from_proto, model_from_proto
from graftscope.client.wire._names import model_name, operation_name
from graftscope.client.wire._operations import failure_of, job_from_proto, progress_from_proto
from graftscope.client.wire._outbox import Outbox
from graftscope.client.wire._replies import (
    hybrid_files_from,
    hybrids_from,
    posterior_from,
    sample_files_from,
    samples_from,
)
from graftscope.client.wire._requests import encode_request, generate_request, hybridize_request
from graftscope.client.wire._status import DETAILS_KEY, ErrorDetails
from graftscope.client.wire._tensors import (
    DATATYPES,
    INLINE_LIMIT_BYTES,
    AnyArray,
    Packed,
    pack,
    size_bytes,
    tensor_from_proto,
    tensor_to_proto,
    unpack,
)

__all__ = [
    "DATATYPES",
    "DETAILS_KEY",
    "INLINE_LIMIT_BYTES",
    "AnyArray",
    "Assembly",
    "ErrorDetails",
    "Outbox",
    "Packed",
    "arrays_of",
    "asked_arrays",
    "encode_request",
    "failure_of",
    "generate_request",
    "hybrid_files_from",
    "hybridize_request",
    "hybrids_from",
    "influence_request",
    "inline",
    "intervention_from_proto",
    "intervention_to_proto",
    "job_from_proto",
    "magnitude_request",
    "manifest_from_proto",
    "model_from_proto",
    "model_name",
    "modules_request",
    "operation_name",
    "pack",
    "posterior_from",
    "progress_from_proto",
    "response_of",
    "result_from",
    "sample_files_from",
    "samples_from",
    "size_bytes",
    "stability_request",
    "tensor_from_proto",
    "tensor_to_proto",
    "unpack",
    "upload_requests",
]
