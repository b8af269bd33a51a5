"""ONNX's own evaluator, for files that ONNX Runtime has no kernels for: slow, and in NumPy.

ONNX Runtime computes no convolution in float64.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from graftscope.exporter._sessions import CpuSession
from graftscope.exporter.errors import ProofError, one_line

Array: TypeAlias = NDArray[np.floating]

_NO_KERNEL: Final = "Could not find an implementation"


class BatchNormalization(OpRun):
    """As in every operation set where nothing is trained; the evaluator's own trains before 14."""

    op_domain = ""

    def _run(self, x: Array, *given: Array, epsilon: float, **_: object) -> tuple[Array]:
        shape = (-1, *(1 for _ in x.shape[2:]))
        scale, bias, mean, variance = (each.reshape(shape) for each in given)
        return ((scale * (x - mean) / np.sqrt(variance + epsilon) + bias).astype(x.dtype),)


class Evaluator:
    """A file that can be run; as `CpuSession`."""

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        """Load a file.

        Args:
            path: The file, its weights beside it.
            content: A graph that was made from the file's, to be loaded in its stead.

        Raises:
            ProofError: If the evaluator cannot load it.
        """
        self._name = path.name
        try:
            given = onnx.load(path) if content is None else _with_weights(content, path.parent)
            self._run = ReferenceEvaluator(given, new_ops=[BatchNormalization])
        except Exception as error:  # the evaluator's own have no common base
            raise ProofError(f"ONNX cannot evaluate {path.name}: {one_line(error)}") from error
        self.inputs = tuple(self._run.input_names)
        self.outputs = tuple(self._run.output_names)
        self._types = {
            each.name: each.type.tensor_type
            for each in given.graph.input
            if each.name in self.inputs
        }

    @property
    def input_types(self) -> dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]]:
        """Shapes and datatypes by the input's name; extents that are free are 1."""
        return {
            name: (
                tuple(dim.dim_value or 1 for dim in each.shape.dim),
                onnx.helper.tensor_dtype_to_np_dtype(each.elem_type),
            )
            for name, each in self._types.items()
        }

    @property
    def fixed_batches(self) -> set[int]:
        """The first extents of inputs that are fixed."""
        shapes = [each.shape.dim for each in self._types.values()]
        return {dims[0].dim_value for dims in shapes if dims and dims[0].dim_value}

    def run(self, tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """Compute every output from those of the tensors that the file takes.

        Raises:
            ProofError: If the evaluator cannot run it.
        """
        try:
            results = self._run.run(None, {name: tensors[name] for name in self.inputs})
        except Exception as error:  # likewise
            raise ProofError(f"ONNX cannot evaluate {self._name}: {one_line(error)}") from error
        return dict(zip(self.outputs, results, strict=True))


def _with_weights(content: bytes, folder: Path) -> onnx.ModelProto:
    model = onnx.load_from_string(content)
    onnx.load_external_data_for_model(model, str(folder))
    return model


def runnable(path: Path, content: bytes | None = None) -> CpuSession | Evaluator:
    """Return a file as it is, in ONNX Runtime where that has kernels for all of it.

    Args:
        path: The file, its weights beside it.
        content: A graph that was made from the file's, to be loaded in its stead.

    Raises:
        ProofError: If neither can load it.
    """
    try:
        return CpuSession(path, optimised=False, content=content)
    except ProofError as error:
        if _NO_KERNEL not in str(error):
            raise
        return Evaluator(path, content)
