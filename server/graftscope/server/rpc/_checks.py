"""Values that are not allowed, whatever the model: each refusal names the value and the field.

What analyses themselves refuse stands with them. It must not know models or arrays.
"""

import re
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import DEFAULT_PERCENTILE, DEFAULT_WINDOW, require_distinct
from graftscope.server.errors import InvalidInput
from graftscope.v1 import analysis_service_pb2, bundle_pb2

MAX_REQUEST_ID = 128

_OPERATIONS = "operations/"

_PAGE_LIMIT = 100
_PAGE_TOKEN = re.compile(r"[0-9]{0,9}")


def check_channels(
    layer: bundle_pb2.Layer, indices: Sequence[int], field: str
) -> NDArray[np.int64]:
    """Channels of a layer, each once.

    Raises:
        InvalidInput: one is out of range or named twice.
    """
    channels = np.array(indices, dtype=np.int64)
    beyond = channels[channels >= layer.channels]
    if len(beyond):
        raise InvalidInput(
            f"channel {beyond[0]} is not in layer {layer.name!r}, which has {layer.channels}: "
            f"0 to {layer.channels - 1}",
            field=field,
        )
    if len(set(indices)) != len(channels):
        values, counts = np.unique(channels, return_counts=True)
        raise InvalidInput(f"channel {values[counts > 1][0]} is named more than once", field=field)
    return channels


def module_channels(labels: NDArray[np.int64], index: int) -> NDArray[np.int64]:
    """Channels of a module.

    Raises:
        InvalidInput: it has none.
    """
    channels = np.flatnonzero(labels == index)
    if not len(channels):
        modules = ", ".join(str(m) for m in np.unique(labels[labels >= 0])) or "none"
        raise InvalidInput(
            f"module {index} has no channels; modules with channels are: {modules}",
            field="module.index",
        )
    return channels


class Smoothing(TypedDict):
    """How maps are preprocessed: the fields of a specification that tell."""

    window: int
    percentile: float


def smoothing(
    message: analysis_service_pb2.ModulesRequest
    | analysis_service_pb2.StabilityRequest
    | analysis_service_pb2.MagnitudeRequest
    | analysis_service_pb2.StableLabels
    | analysis_service_pb2.ConfidentLabels
    | analysis_service_pb2.PartialModules,
) -> Smoothing:
    """How maps are preprocessed, with defaults filled in; whether they can be is not checked."""
    return {
        "window": message.window or DEFAULT_WINDOW,
        "percentile": message.percentile or DEFAULT_PERCENTILE,
    }


def check_ks(ks: Sequence[int], channels: int, least: int = 2) -> None:
    """Checks numbers of modules.

    Raises:
        InvalidInput: one is below the least, or above the number of channels.
        InvalidInputError: one is named twice.
    """
    outside = [k for k in ks if not least <= k <= channels]
    if outside:
        raise InvalidInput(
            f"k = {outside[0]} is not allowed; {least} to {channels} is, the number of channels",
            field="ks",
        )
    if ks:
        require_distinct("ks", ks)


def check_request_id(request_id: str) -> None:
    """Checks a caller's name for a call.

    Raises:
        InvalidInput: it is too long, or holds characters that cannot be printed.
    """
    if len(request_id) > MAX_REQUEST_ID or not request_id.isprintable():
        raise InvalidInput(
            f"request_id {request_id!r} is not allowed; at most {MAX_REQUEST_ID} printable "
            "characters are",
            field="request_id",
        )


def operation_name(job: str) -> str:
    """operations/ID"""
    return _OPERATIONS + job


def job_id(name: str, field: str = "name") -> str:
    """The ID of operations/ID.

    Raises:
        InvalidInput: the name is malformed.
    """
    identifier = name.removeprefix(_OPERATIONS)
    if not name.startswith(_OPERATIONS) or not identifier or "/" in identifier:
        raise InvalidInput(f"{field} {name!r} is malformed; operations/ID is needed", field=field)
    return identifier


def page(size: int, token: str) -> tuple[int, int]:
    """How many entries a page has, and how many come before it.

    Raises:
        InvalidInput: the size is negative, or the token is not one that a page ended with.
    """
    if size < 0:
        raise InvalidInput(f"page_size is {size}; 0 to {_PAGE_LIMIT} is allowed", field="page_size")
    if not _PAGE_TOKEN.fullmatch(token):
        raise InvalidInput(
            f"page_token {token!r} is unknown; use next_page_token of the page before",
            field="page_token",
        )
    return min(size or _PAGE_LIMIT, _PAGE_LIMIT), int(token or 0)
