"""A small computation whose result is known: influence of channels of a bundle that is shipped."""

import time
from collections.abc import Iterator

import numpy as np

from graftscope.bundle import find_shipped, read_bundle
from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, NothingToCheck, ok, problem
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Generator,
    Plan,
    PriorPairs,
    SessionPool,
    shard_effects,
)
from graftscope.server.errors import DeviceUnavailable

_NAME = "gan-cifar10"
_LAYER = "fc"
_SEED = 1
_PAIRS = 8
_KNOWN = (0.0402396, 0.1560484, 0.0647239, 0.0606278, 0.0246325, 0.0465074, 0.0272452, 0.0305471)
"""Individual influence of the layer's first channels over these pairs, a channel at a time."""

_TOLERANCE = 1e-5
"""Of another processor's or device's float32, whose sums round in another order."""


def computation(case: Case) -> Iterator[Finding]:
    """Influence on the plain path, in float32, beside numbers that are known (equation 3)."""
    device = case.settings.device
    began_s = time.perf_counter()
    generator = Generator(
        read_bundle(case.machine.reference or find_shipped(_NAME)), SessionPool(device, 8)
    )
    layer = next(each for each in generator.manifest.layers if each.name == _LAYER)
    sets = np.eye(layer.channels, dtype=np.bool_)[: len(_KNOWN)]
    subject = ChannelSets(generator, layer, sets, generator.areas(0))
    plan = Plan(batch=_PAIRS, sets=len(sets), provider=device.provider)
    pairs = PriorPairs(generator, seed=_SEED)
    try:
        effects = shard_effects(subject, plan, pairs, range(_PAIRS), Cancellation())
    except DeviceUnavailable:
        raise NothingToCheck(f"device {device.value} cannot be used") from None
    took_s = time.perf_counter() - began_s
    found = effects.pixel_means.mean(axis=0)
    off = float(np.abs(found - _KNOWN).max())
    # A number that is none is not near anything either.
    if not off <= _TOLERANCE:
        yield problem(
            f"influence of {_NAME} on {device.value} differs from the known values by {off:.2g};"
            f" {_TOLERANCE:g} is allowed",
            "do not trust results of this machine: install onnxruntime and graftscope again; if"
            " that does not help, test its memory, and report the finding",
        )
        return
    yield ok(
        f"influence of {len(sets)} channels of {_NAME} on {device.value}: within {off:.0e} of the"
        f" known values, in {took_s:.2f} s"
    )
