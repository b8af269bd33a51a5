"""ONNX Runtime on the CPU with one thread: the same numbers every time."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from graftscope.codec import datatype_of
from graftscope.exporter.errors import ProofError
from graftscope.sandbox import in_our_words

_NOTHING = 4
"""What goes wrong is raised."""
_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    **{
        f"tensor({name})": name
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
}
End: TypeAlias = tuple[str, str, tuple[int, ...]]
"""An input or output: its name, its datatype in the contract's words, its shape; -1 is free."""
_MOST_BYTES = 2**30
"""What may stand in a message beside the nodes: protobuf's limit is twice as much."""
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


class CpuSession:
    """A graph that can be run."""

    def __init__(self, path: Path, *, optimised: bool, content: bytes | None = None) -> None:
        """Load a graph.

        Args:
            path: The graph's file, its weights beside it.
            optimised: Whether ONNX Runtime may rewrite the graph, which reorders arithmetic.
            content: A graph that was made from the file's, to be loaded in its stead.

        Raises:
            ProofError: If ONNX Runtime cannot load it.
        """
        self._name = path.name
        levels = ort.GraphOptimizationLevel
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _NOTHING
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
        )
        if content is not None:
            options.add_session_config_entry(_WEIGHTS_FOLDER, str(path.parent))
        self._session = _load(path, content, options)
        self.inputs = tuple(each.name for each in self._session.get_inputs())
        self.outputs = tuple(each.name for each in self._session.get_outputs())

    @property
    def input_types(self) -> dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]]:
        """Shapes and datatypes by the input's name; extents that are free are 1."""
        return {
            each.name: (
                tuple(dim if isinstance(dim, int) else 1 for dim in each.shape),
                np.dtype(_DTYPES.get(each.type, "float32")),
            )
            for each in self._session.get_inputs()
        }

    @property
    def input_ends(self) -> tuple[End, ...]:
        """Names, datatypes and shapes of the inputs."""
        return tuple(_end(each) for each in self._session.get_inputs())

    @property
    def output_ends(self) -> tuple[End, ...]:
        """Names, datatypes and shapes of the outputs."""
        return tuple(_end(each) for each in self._session.get_outputs())

    @property
    def fixed_batches(self) -> set[int]:
        """The first extents of inputs that are fixed."""
        return {
            each.shape[0]
            for each in self._session.get_inputs()
            if each.shape and isinstance(each.shape[0], int)
        }

    def run(self, tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
        """Compute every output from those of the tensors that the graph takes.

        Raises:
            ProofError: If ONNX Runtime cannot run it.
        """
        feeds = {name: tensors[name] for name in self.inputs}
        try:
            results = self._session.run(list(self.outputs), feeds)
        except Exception as error:  # ONNX Runtime's own have no common base
            shapes = ", ".join(f"{name!r} {array.shape}" for name, array in feeds.items())
            raise ProofError(
                f"ONNX Runtime cannot run {self._name} with {shapes}: {in_our_words(error)}"
            ) from error
        return dict(zip(self.outputs, results, strict=True))


def session_of(model: ir.Model, folder: Path) -> CpuSession:
    """Load a graph that is in memory, to be run as it stands.

    Args:
        model: The graph.
        folder: Where its external weights lie.

    Raises:
        ProofError: If ONNX Runtime cannot load it.
    """
    path = folder / "generator.onnx"
    if _bytes_in_memory(model) < _MOST_BYTES:
        content = ir.to_proto(model).SerializeToString()
        return CpuSession(path, optimised=False, content=content)
    with TemporaryDirectory(prefix="graftscope-") as temporary:
        ir.save(model, Path(temporary) / path.name, external_data="weights.bin")
        return CpuSession(Path(temporary) / path.name, optimised=False)


def _end(given: ort.NodeArg) -> End:
    shape = tuple(each if isinstance(each, int) else -1 for each in given.shape)
    return given.name, datatype_of(np.dtype(_DTYPES.get(given.type, "float32"))), shape


def _bytes_in_memory(model: ir.Model) -> int:
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(
        tensor.nbytes
        for tensor in tensors
        if tensor is not None and not isinstance(tensor, ir.ExternalTensor)
    )


def _load(path: Path, content: bytes | None, options: ort.SessionOptions) -> ort.InferenceSession:
    graph = str(path) if content is None else content
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own have no common base
        raise ProofError(f"ONNX Runtime cannot load {path.name}: {in_our_words(error)}") from error
