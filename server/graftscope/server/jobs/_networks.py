"""The networks that jobs look at images with. It must not know databases, watchers or gRPC."""

from pathlib import Path

import numpy as np

from graftscope.bundle import ImageLayout, Preprocessing, find_network
from graftscope.server.engine import (
    EncoderFeatures,
    Generator,
    ImageFeatures,
    ImageNetwork,
    Memo,
    Reads,
    open_network,
)
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._worth_specs import NetworkSpec, PreprocessingSpec

ENCODER = "encoder"
"""What a generator's own encoder is called."""

# Of a generator: a job asks for its network several times, and others for the same.
_KEPT = 4


def features_of(
    spec: NetworkSpec,
    generator: Generator,
    resolver: Resolver,
    field: str = "features",
) -> ImageFeatures:
    """What gives features of a generator's images; what was opened lately is given again.

    Args:
        spec: which network.
        generator: whose images it is to look at.
        resolver: reads stored arrays.
        field: of the request, which names the network.

    Raises:
        NotFound: the file, or the model's encoder, is gone.
        ModelRefused: the file is not to be opened here.
        InvalidInput: it does not take the generator's images.
    """
    if spec.name == ENCODER:
        return EncoderFeatures(generator)
    kept: Memo = generator.memo.get("features", lambda: Memo(_KEPT))
    return kept.get(spec, lambda: opened(spec, generator, resolver, Reads.FEATURES, field))


def opened(
    spec: NetworkSpec, generator: Generator, resolver: Resolver, reads: Reads, field: str
) -> ImageNetwork:
    """Opens a network's file for a generator's images. Raises as `features_of`.

    Args:
        spec: which network.
        generator: whose images.
        resolver: reads stored arrays.
        reads: what it is asked for, where no output is named.
        field: of the request, which names it.
    """
    source: Path | bytes
    if spec.file is None:
        source = find_network(spec.name)
    else:
        source = resolver.artifacts.get(spec.file, field).astype(np.uint8, copy=False).tobytes()
    return open_network(
        source,
        resolver.catalogue.pool,
        generator.image_shape,
        stated=_stated(spec.preprocessing),
        reads=reads,
        output=spec.output,
        sandbox=resolver.sandbox,
        name=repr(spec.title or spec.name),
        field=field,
    )


def _stated(spec: PreprocessingSpec | None) -> Preprocessing | None:
    if spec is None:
        return None
    return Preprocessing(
        low=spec.low,
        high=spec.high,
        height=spec.height,
        width=spec.width,
        mean=spec.mean or (0.0,),
        deviation=spec.deviation or (1.0,),
        layout=ImageLayout(spec.layout.upper()),
        bgr=spec.bgr,
    )
