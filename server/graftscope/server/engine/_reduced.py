"""Images and encodings in another precision, with their difference from float32.

It must not know what is made: hybrids, samples or posteriors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine._deviation import SAMPLE_IMAGES, Deviation, image_deviation
from graftscope.server.engine._generator import Generator
from graftscope.server.engine._precision import AUTO, Backend, Precision

Made = TypeVar("Made")

Images: TypeAlias = Sequence[NDArray[np.float32]]

# The fewer bits, the faster, on every device that has instructions for them.
_FASTEST_FIRST = (Precision.FP16, Precision.BF16, Precision.TF32)


@dataclass(frozen=True, eq=False)
class Ran(Generic[Made]):
    """What was made, and how.

    Attributes:
        made: what was asked for.
        backend: what ran it.
        deviation: difference from float32; None where that is what ran.
    """

    made: Made
    backend: Backend
    deviation: Deviation | None = None


def run_in(
    generator: Generator,
    wanted: str,
    make: Callable[[Generator, int | None], Made],
    images_of: Callable[[Made], Images],
    *,
    width: float | None = None,
) -> Ran[Made]:
    """Makes something in the precision that is asked for; for `auto`, in the fastest close one.

    Args:
        generator: the generator in float32.
        wanted: fp32, bf16, tf32, fp16 or auto.
        make: makes it with a generator: of all samples, or of this many first ones.
        images_of: its arrays, each (B, ...).
        width: of the images' range; None for the largest number there is.

    Raises:
        PrecisionUnavailable: the precision cannot be run.
        Cancelled: `make` was stopped.
    """
    offered = generator.backends(wanted)
    if wanted != AUTO and offered[0] != generator.backend:
        return _measured(generator, offered[0], make, images_of, None, width)
    for backend in _fastest_first(offered) if wanted == AUTO else ():
        sample = _measured(generator, backend, make, images_of, SAMPLE_IMAGES, width)
        if sample.deviation is not None and sample.deviation.is_close:
            return _measured(generator, backend, make, images_of, None, width)
    return Ran(make(generator, None), generator.backend)


def _fastest_first(offered: Sequence[Backend]) -> list[Backend]:
    reduced = [x for x in offered if x.precision in _FASTEST_FIRST]
    return sorted(reduced, key=lambda x: _FASTEST_FIRST.index(x.precision))


def _measured(
    generator: Generator,
    backend: Backend,
    make: Callable[[Generator, int | None], Made],
    images_of: Callable[[Made], Images],
    count: int | None,
    width: float | None,
) -> Ran[Made]:
    made = make(generator.on(backend), count)
    plain = images_of(make(generator, SAMPLE_IMAGES))
    if width is None:
        width = max(float(np.abs(x).max()) for x in plain)
    return Ran(made, backend, image_deviation(images_of(made), plain, width))
