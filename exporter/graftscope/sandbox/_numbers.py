"""Whether weights are numbers: one that is none makes every image of it nothing."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from graftscope.sandbox._reasons import Reason
from graftscope.sandbox._sizes import tensors
from graftscope.sandbox.errors import ModelRefusedError

_REAL = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)

Place = tuple[tuple[str, str], ...]
"""Where weights lie in a file beside their model."""


def refuse_not_numbers(model: onnx.ModelProto, folder: Path, seen: set[Place]) -> None:
    """Refuse weights that hold NaN; infinities have their uses, such as in masks.

    Args:
        model: What is opened, its weights in its folder.
        folder: Where it lies.
        seen: Places that were looked at, which a bundle's graphs share; added to.

    Raises:
        ModelRefusedError: If some do; it names them.
    """
    for tensor in tensors(model):
        place = tuple((each.key, each.value) for each in tensor.external_data)
        if tensor.data_type not in _REAL or place in seen:
            continue
        if place:
            seen.add(place)
        try:
            values = numpy_helper.to_array(tensor, str(folder))
        except (OSError, ValueError, onnx.checker.ValidationError):
            continue  # what is wrong with it whoever reads it next says better
        # The least of numbers of which one is none is none.
        if values.size and np.isnan(values.min()):
            raise ModelRefusedError(
                f"weights {tensor.name[:80]!r} hold NaN, which is no number", Reason.NOT_NUMBERS
            )
