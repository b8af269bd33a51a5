"""What a request of faithfulness may get wrong, beside its pairs, its modules and its network.

It must not know how anything is measured.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import LEAST_ROWS, MOST_NEAREST, NEAREST, require_between
from graftscope.server.engine import Generator
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import ArrayRef
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._pairs import ChosenPairs
from graftscope.v1 import tensor_pb2, worth_pb2

CONTROLS = 4
"""Random sets a module, of each kind, where nothing else is said."""

LEAST_CONTROLS, MOST_CONTROLS = 2, 64

MOST_PAIRS = 100_000
"""Every image is compared with every other one."""


@dataclass(frozen=True)
class FaithfulnessRequests:
    """Parses what is only of this request.

    Attributes:
        generator: whose images.
        arrays: reads arrays.
    """

    generator: Generator
    arrays: Arrays

    async def fields(
        self, request: worth_pb2.FaithfulnessRequest, labels: NDArray[np.int64]
    ) -> dict[str, Any]:
        """The fields of a specification that are no other analysis's.

        Args:
            request: what was asked.
            labels: (C,) the modules.

        Raises:
            InvalidInput: a value is not allowed.
            NotFound: an array does not exist.
        """
        controls, nearest = request.controls or CONTROLS, request.neighbours or NEAREST
        require_between("controls", controls, LEAST_CONTROLS, MOST_CONTROLS)
        require_between("neighbours", nearest, 1, MOST_NEAREST)
        return {
            "data": await self._data(request),
            "individual": await self._individual(request, labels),
            "templates": await self._templates(request, labels),
            "controls": controls,
            "neighbours": nearest,
        }

    async def _data(self, request: worth_pb2.FaithfulnessRequest) -> ArrayRef | None:
        if not request.HasField("data"):
            return None
        image = self.generator.manifest.image
        ref = await self.arrays.refer(request.data, "data")
        size = (image.height, image.width, image.channels)
        if ref.datatype != "UINT8" or ref.shape[1:] != size or ref.shape[0] < LEAST_ROWS:
            wanted = ", ".join(map(str, size))
            raise InvalidInput(
                f"data is {ref.datatype} of shape {list(ref.shape)}; UINT8 of shape (N, {wanted})"
                f" is needed, of at least {LEAST_ROWS} images",
                field="data",
            )
        return ref

    async def _individual(
        self, request: worth_pb2.FaithfulnessRequest, labels: NDArray[np.int64]
    ) -> ArrayRef | None:
        if not request.HasField("individual"):
            return None
        array = await self._floats(request.individual, "individual")
        if array.shape != labels.shape or array.min() < 0:
            raise InvalidInput(
                f"individual has shape {array.shape} and {array.min():g} as its least; numbers of"
                f" at least 0 and of shape {labels.shape} are needed, one a channel",
                field="individual",
            )
        return await self.arrays.refer(request.individual, "individual")

    async def _templates(
        self, request: worth_pb2.FaithfulnessRequest, labels: NDArray[np.int64]
    ) -> ArrayRef | None:
        if not request.HasField("templates"):
            return None
        array, modules = await self._floats(request.templates, "templates"), labels.max() + 1
        if array.ndim != 3 or len(array) < modules:
            raise InvalidInput(
                f"templates have shape {array.shape}; (K, h, w) is needed, of {modules} modules",
                field="templates",
            )
        return await self.arrays.refer(request.templates, "templates")

    async def _floats(self, message: tensor_pb2.Array, field: str) -> NDArray[np.float64]:
        array = await self.arrays.read(message, field)
        if array.dtype.kind != "f" or not array.size or not np.isfinite(array).all():
            raise InvalidInput(
                f"{field} is {array.dtype} of shape {list(array.shape)}; finite floating-point"
                " numbers are needed",
                field=field,
            )
        return array.astype(np.float64)


def halved(pairs: ChosenPairs) -> ChosenPairs:
    """Half of the pairs where they are given: the others are the samples to compare with.

    Raises:
        InvalidInput: they are too few, or too many.
    """
    given = pairs.originals.kind in ("latents", "image_pairs")
    found = replace(pairs, pairs=pairs.pairs // 2) if given else pairs
    if not LEAST_ROWS <= found.pairs <= MOST_PAIRS:
        half = " in each half" if given else ""
        raise InvalidInput(
            f"{found.pairs} pairs{half} are not allowed; it is {LEAST_ROWS} to {MOST_PAIRS}",
            field="pairs.count",
        )
    return found
