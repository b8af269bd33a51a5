"""The client's side of the contract: its values to and from `graftscope.v1` messages.

Everything here is pure: it must not know how calls are made.
"""

from graftscope.client.wire._arrays import (
    AnyArray,
    Assembly,
    Outbox,
    Packed,
    arrays_of,
    operation_name,
    unpack,
    upload_requests,
)
from graftscope.client.wire._errors import (
    DETAILS_KEY,
    ERRORS,
    ErrorDetails,
    error_class,
    failure_of,
    told_in_own_words,
)
from graftscope.client.wire._models import manifest_from, model_from
from graftscope.client.wire._operations import job_from, progress_from
from graftscope.client.wire._replies import (
    asked_arrays,
    images_from,
    made,
    modules_from,
    of_maps_from,
    response_of,
    result_from,
)
from graftscope.client.wire._requests import (
    REQUESTS,
    UNIONS,
    AnyTask,
    explore_request,
    model_name,
    named,
    request_of,
)
from graftscope.client.wire._so_far import ask_modules, maps_so_far_from, modules_so_far_from

__all__ = [
    "DETAILS_KEY",
    "ERRORS",
    "REQUESTS",
    "UNIONS",
    "AnyArray",
    "AnyTask",
    "Assembly",
    "ErrorDetails",
    "Outbox",
    "Packed",
    "arrays_of",
    "ask_modules",
    "asked_arrays",
    "error_class",
    "explore_request",
    "failure_of",
    "images_from",
    "job_from",
    "made",
    "manifest_from",
    "maps_so_far_from",
    "model_from",
    "model_name",
    "modules_from",
    "modules_so_far_from",
    "named",
    "of_maps_from",
    "operation_name",
    "progress_from",
    "request_of",
    "response_of",
    "result_from",
    "told_in_own_words",
    "unpack",
    "upload_requests",
]
