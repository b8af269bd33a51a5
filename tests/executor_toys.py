"""A small generator in this process, and the influence of its first layer's channels."""

from pathlib import Path

import numpy as np

from graftscope.server.engine import (
    SHARD_PAIRS,
    Catalogue,
    ChannelSets,
    Device,
    Generator,
    SessionPool,
    channel_set,
    open_bundles,
)

PAIRS = range(SHARD_PAIRS)


def generator_of(bundle: Path) -> Generator:
    catalogue = Catalogue(open_bundles([bundle]), SessionPool(Device.CPU, 16))
    (generator,) = catalogue.generators.values()
    return generator


def channels_of(generator: Generator) -> ChannelSets:
    layer = generator.manifest.layers[0]
    sets = np.stack([channel_set(layer, np.array([c])) for c in range(layer.channels)])
    return ChannelSets(generator, layer, sets, generator.areas(0))
