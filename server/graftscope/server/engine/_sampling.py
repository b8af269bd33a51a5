"""Images of samples, of several callers in one run. It must not know jobs or gRPC."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine._batching import Kind
from graftscope.server.engine._generator import Generator, Latents
from graftscope.server.engine._sessions import Cancellation

# Samples a run: fewer where a tensor of one of them is large.
_BATCH = 32
_BATCH_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Samples:
    """Images, (B, c, H, W) in the generator's own range, and what they were made from."""

    latents: Latents
    images: NDArray[np.float32]


Sampling: TypeAlias = Kind[Callable[[], Latents], Latents, Samples]


def sampling(generator: Generator) -> Sampling:
    """Samples of a generator; a task gives the latents, by input's name, each (B, ...)."""
    return Kind(
        ("generate", generator),
        max(1, min(_BATCH, _BATCH_BYTES // generator.widest_bytes())),
        lambda draw: draw(),
        lambda drawn, cancellation: _generate(generator, drawn, cancellation),
    )


def _generate(
    generator: Generator, drawn: Sequence[Latents], cancellation: Cancellation
) -> list[Samples]:
    stacked = {name: np.concatenate([x[name] for x in drawn]) for name in drawn[0]}
    images = generator.generate(stacked, cancellation)
    ends = list(accumulate((len(next(iter(x.values()))) for x in drawn), initial=0))
    return [
        Samples(latents, images[start:end])
        for latents, (start, end) in zip(drawn, pairwise(ends), strict=True)
    ]
