"""What a request of reach may get wrong, beside its pairs and its network.

It must not know how anything is measured.
"""

import numpy as np

from graftscope.server.engine import Generator
from graftscope.server.errors import InvalidInput
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.worth import LatentUnits
from graftscope.v1 import tensor_pb2

UNITS = 16
"""Of each kind, where nothing else is said."""

MOST_UNITS = 4_096
"""To choose, and latents to choose from: each step measures all that are left."""

_LEAST_PAIRS = 4


def units_of(said: int) -> int:
    """How many units of each kind are chosen.

    Raises:
        InvalidInput: they are too many.
    """
    if said > MOST_UNITS:
        raise InvalidInput(
            f"units = {said} is not allowed; it is 1 to {MOST_UNITS}, or 0 for {UNITS}",
            field="units",
        )
    return said or UNITS


def check_halves(pairs: int) -> None:
    """Refuses too few pairs to rank on some and to measure on others, with standard errors.

    Raises:
        InvalidInput: there are fewer than two of each.
    """
    if pairs < _LEAST_PAIRS:
        raise InvalidInput(
            f"{pairs} pairs are too few; at least {_LEAST_PAIRS} are needed, half of them to rank "
            "units and half to measure",
            field="pairs.count",
        )


def check_latents_to_swap(generator: Generator) -> None:
    """Refuses models of more latents than can be tried one by one.

    Raises:
        InvalidInput: there are.
    """
    latents = LatentUnits.of(generator.manifest).units
    if latents > MOST_UNITS:
        raise InvalidInput(
            f"model {generator.manifest.name!r} has {latents} latents; reach tries them one by "
            f"one, and allows {MOST_UNITS}",
            field="model",
        )


async def check_region(arrays: Arrays, message: tensor_pb2.Array, generator: Generator) -> None:
    """Refuses what is no region of the generator's images.

    Raises:
        InvalidInput: it is not (H, W) numbers from 0 to 1, or nothing is inside.
        NotFound: the array does not exist.
    """
    given = await arrays.read(message, "region")
    _, *size = generator.image_shape
    if given.shape != tuple(size) or given.dtype.kind != "f":
        raise InvalidInput(
            f"region is {given.dtype} of shape {list(given.shape)}; floating-point numbers of "
            f"the image's shape {size} are needed",
            field="region",
        )
    region = given.astype(np.float64, copy=False)
    # Written so that NaN is refused too.
    if not (np.all((region >= 0) & (region <= 1)) and region.any()):
        raise InvalidInput(
            "region holds numbers that are not from 0, outside, to 1, inside; or nothing is inside",
            field="region",
        )
