"""Values that are not allowed, whatever the model: each refusal names the value and the field.

It must not know models or arrays.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import ModulesSpec, StabilitySpec
from graftscope.v1 import bundle_pb2

MAX_REQUEST_ID = 128
MAX_SEEDS = 100
MAX_REPEATS = 1000


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


def check_modules(spec: ModulesSpec) -> None:
    """Checks what can be told without looking at the maps; the job itself finds the rest.

    Raises:
        InvalidInput: K, a seed, the window, the percentile or the purity is not allowed.
    """
    channels = spec.maps.shape[0]
    if not 1 <= spec.k <= channels:
        raise InvalidInput(
            f"k is {spec.k}; 1 to {channels} is allowed, the number of channels", field="k"
        )
    if len(spec.seeds) > MAX_SEEDS:
        raise InvalidInput(
            f"{len(spec.seeds)} seeds are named; at most {MAX_SEEDS} are allowed", field="seeds"
        )
    if len(set(spec.seeds)) < len(spec.seeds):
        raise InvalidInput("a seed is named more than once", field="seeds")
    if not 0 <= spec.min_purity <= 1:
        raise InvalidInput(
            f"min_purity is {spec.min_purity}; 0 to 1 is allowed", field="min_purity"
        )
    check_smoothing(spec.window, spec.percentile, max(spec.maps.shape[1:]))


def check_stability(spec: StabilitySpec) -> None:
    """Checks what can be told without looking at the maps; the job itself finds the rest.

    Raises:
        InvalidInput: a K, a method, the repeats, the window or the percentile is not allowed.
    """
    check_ks(spec.ks, spec.maps.shape[0])
    if len(set(spec.methods)) < len(spec.methods):
        raise InvalidInput("a method is named more than once", field="methods")
    if spec.repeats > MAX_REPEATS:
        raise InvalidInput(
            f"repeats is {spec.repeats}; at most {MAX_REPEATS} are allowed", field="repeats"
        )
    check_smoothing(spec.window, spec.percentile, max(spec.maps.shape[1:]))


def check_ks(ks: Sequence[int], channels: int, least: int = 2) -> None:
    """Checks numbers of modules.

    Raises:
        InvalidInput: one is below the least, above the number of channels, or named twice.
    """
    outside = [k for k in ks if not least <= k <= channels]
    if outside:
        raise InvalidInput(
            f"k = {outside[0]} is not allowed; {least} to {channels} is, the number of channels",
            field="ks",
        )
    if len(set(ks)) < len(ks):
        raise InvalidInput("ks name a number more than once", field="ks")


def check_smoothing(window: int, percentile: float, side: int) -> None:
    """Checks how maps are preprocessed.

    Args:
        window: of the averaging, in pixels.
        percentile: above which a pixel counts.
        side: the maps' longest, in pixels.

    Raises:
        InvalidInput: the window is even or wider than the maps, or the percentile out of range.
    """
    if window > side:
        raise InvalidInput(
            f"window is {window}; odd numbers up to {side} are allowed, the maps' longest side",
            field="window",
        )
    if window % 2 == 0:
        raise InvalidInput(f"window is {window}; odd numbers are allowed", field="window")
    if not 0 < percentile < 100:
        raise InvalidInput(
            f"percentile is {percentile}; more than 0 and less than 100 is allowed",
            field="percentile",
        )


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
