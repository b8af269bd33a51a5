"""The models themselves: opened and run once, in the child alone."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from graftscope.sandbox._reasons import Reason
from graftscope.sandbox._words import in_our_words
from graftscope.sandbox.errors import ModelRefusedError

Arrays = Mapping[str, NDArray[np.generic]]

_NOTHING: Final = 4
"""What goes wrong is raised."""
_OF_MEMORY: Final = re.compile(r"bad_alloc|alloc(?:at)|memory|length_error|out of range", re.I)


class Opened:
    """A graph that ONNX Runtime has opened with one thread.

    Args:
        path: The file.
        optimised: Whether ONNX Runtime may rewrite it.

    Raises:
        ModelRefusedError: If it cannot be opened.
    """

    def __init__(self, path: Path, *, optimised: bool) -> None:
        """Open it."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _NOTHING
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        levels = ort.GraphOptimizationLevel
        level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
        options.graph_optimization_level = level
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own have no common base
            raise refused("ONNX Runtime cannot open it", error) from None

    def run(self, given: Arrays) -> dict[str, NDArray[np.generic]]:
        """Run it once.

        Args:
            given: Arrays by input's name; an input that is missing gets zeros of its shape.

        Returns:
            Its outputs that are tensors, by name.

        Raises:
            ModelRefusedError: If it cannot be run.
        """
        feeds = {
            each.name: given[each.name] if each.name in given else _zeros(each)
            for each in self._session.get_inputs()
        }
        names = [each.name for each in self._session.get_outputs()]
        try:
            found = self._session.run(names, feeds)
        except Exception as error:  # likewise
            raise refused("ONNX Runtime cannot run it", error) from None
        made = zip(names, found, strict=True)
        return {name: each for name, each in made if isinstance(each, np.ndarray)}


def check_fully(path: Path) -> None:
    """Have ONNX check a file by its own rules.

    Raises:
        ModelRefusedError: If it breaks one.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except MemoryError:
        raise
    except Exception as error:
        line = f"it breaks a rule of ONNX: {in_our_words(error)}"
        raise ModelRefusedError(line, Reason.UNREADABLE) from None


def refused(what: str, error: Exception) -> ModelRefusedError:
    """An error for what a library said."""
    if isinstance(error, MemoryError) or _OF_MEMORY.search(str(error)):
        return ModelRefusedError(f"{what}: it takes too much memory", Reason.TOO_MUCH_MEMORY)
    return ModelRefusedError(f"{what}: {in_our_words(error)}", Reason.DOES_NOT_RUN)


def zeros(shape: Sequence[int], kind: str) -> NDArray[np.generic]:
    """An array of zeros of a datatype of ONNX Runtime's, such as tensor(float)."""
    return np.zeros(tuple(shape), _DTYPES.get(kind, np.dtype(np.float32)))


def _zeros(value: ort.NodeArg) -> NDArray[np.generic]:
    shape = [dim if isinstance(dim, int) else 1 for dim in value.shape]
    return zeros(shape, value.type)


_DTYPES: Final = {
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    **{
        f"tensor({name})": np.dtype(name)
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
}
