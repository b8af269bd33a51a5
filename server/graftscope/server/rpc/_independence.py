"""What a request of independence may get wrong, beside its pairs, its modules and its network.

It must not know how anything is measured.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import DEFAULT_PERCENTILE, image_regions
from graftscope.server.engine import Generator
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import ArrayRef
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._pairs import ChosenPairs
from graftscope.v1 import worth_pb2


async def independence_fields(
    request: worth_pb2.IndependenceRequest,
    generator: Generator,
    arrays: Arrays,
    labels: NDArray[np.int64],
    pairs: ChosenPairs,
) -> dict[str, Any]:
    """The fields of a specification that are no other analysis's.

    Args:
        request: what was asked.
        generator: whose images.
        arrays: reads arrays.
        labels: (C,) the modules.
        pairs: those of hybrids.

    Raises:
        InvalidInput: a value is not allowed.
        NotFound: an array does not exist.
    """
    modules = len(np.unique(labels[labels >= 0]))
    if pairs.pairs < modules:
        raise InvalidInput(
            f"{pairs.pairs} pairs have fewer donors than the {modules} modules; ask for at least as"
            " many pairs",
            field="pairs.count",
        )
    percentile = request.percentile or DEFAULT_PERCENTILE
    if not 0 < percentile < 100:
        raise InvalidInput(
            f"percentile is {percentile}; it is between 0 and 100, both excluded",
            field="percentile",
        )
    templates = None
    if request.HasField("templates"):
        templates = await _templates(request, generator, arrays, int(labels.max()) + 1)
    return {"templates": templates, "percentile": percentile}


async def _templates(
    request: worth_pb2.IndependenceRequest, generator: Generator, arrays: Arrays, modules: int
) -> ArrayRef:
    array = await arrays.read(request.templates, "templates")
    if array.ndim != 3 or len(array) < modules or array.dtype.kind != "f":
        raise InvalidInput(
            f"templates are {array.dtype} of shape {list(array.shape)}; floating-point numbers of"
            f" shape (K, h, w) are needed, of {modules} modules",
            field="templates",
        )
    if not np.isfinite(array).all():
        raise InvalidInput("templates hold NaN or infinity", field="templates")
    image = generator.manifest.image
    # Refuses those of another image.
    image_regions(array.astype(bool), image.height, image.width)
    return await arrays.refer(request.templates, "templates")
