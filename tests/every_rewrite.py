"""What must hold for whatever generator was brought: rewritten graphs give the plain numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.bundle import read_bundle
from graftscope.graph.rewrites import REWRITES, SHARE
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    Plan,
    PriorPairs,
    SessionPool,
)
from graftscope.server.engine._generator import Effects
from graftscope.v1 import bundle_pb2

PAIRS = 2
CHANNELS = 3
LAYERS = 6
TOLERANCE = 1e-5
"""Of the width of the image's range: float32 sums in another order."""


def rewritten_effects_are_the_plain_ones(folder: Path) -> None:
    """Check sums over two pairs at layers spread over all, and of a set of several at the last."""
    generator = Generator(read_bundle(folder), SessionPool(Device.CPU, 8))
    layers = generator.manifest.layers
    for i in _spread(len(layers), LAYERS):
        single = np.eye(layers[i].channels, dtype=np.bool_)[_spread(layers[i].channels, CHANNELS)]
        _compare(generator, layers[i], single, REWRITES)
    several = np.any(single, axis=0, keepdims=True)
    _compare(generator, layers[i], several, tuple(x for x in REWRITES if x != SHARE))


def _spread(count: int, wanted: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, wanted).astype(int))


def _compare(
    generator: Generator,
    layer: bundle_pb2.Layer,
    sets: NDArray[np.bool_],
    rewrites: tuple[str, ...],
) -> None:
    subject = ChannelSets(generator, layer, sets, generator.areas(0))
    plain = Plan(PAIRS, len(sets), generator.provider)
    expected, found = (_effects(subject, x) for x in (plain, replace(plain, rewrites=rewrites)))
    width = generator.manifest.image.high - generator.manifest.image.low
    for name in ("total", "pixel_means"):
        difference = np.abs(getattr(expected, name) - getattr(found, name)).max() / PAIRS / width
        assert difference <= TOLERANCE, (layer.name, name, difference)


def _effects(subject: ChannelSets, plan: Plan) -> Effects:
    source = PriorPairs(subject.generator, seed=5)
    batch = subject.record(source, range(PAIRS), plan, Cancellation())
    return batch.effects(range(len(subject)))
