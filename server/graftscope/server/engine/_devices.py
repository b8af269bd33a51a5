"""Where graphs run, and the options that ONNX Runtime gets for it.

It must not know models or analyses.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import onnxruntime as ort
from onnx import TensorProto, helper

from graftscope.server.errors import Corrupt, DeviceUnavailable

_FATAL = 4


class Device(Enum):
    """A device that is asked for by name; nothing falls back to another in silence."""

    CPU = "cpu"
    CUDA = "cuda"

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of the execution provider."""
        return {Device.CPU: "CPUExecutionProvider", Device.CUDA: "CUDAExecutionProvider"}[self]


@dataclass(frozen=True)
class Graph:
    """A graph to open: a file, or a model's bytes whose weights lie in `folder`.

    Attributes:
        model: a file's path, or the model itself.
        folder: where its weights lie.
        keeps_memory: whether memory on the CPU is kept between runs, which is faster for small
            tensors; an arena for large ones takes twice what they need, and never gives it back.
    """

    model: bytes | Path
    folder: Path
    keeps_memory: bool = True


def open_session(graph: Graph, device: Device) -> ort.InferenceSession:
    """Opens a session on exactly this device.

    Raises:
        DeviceUnavailable: the session came up on another provider than the one asked for.
        Corrupt: the graph cannot be opened.
    """
    if device is not Device.CPU:
        # ONNX Runtime itself logs a provider that cannot be loaded; the error below says it.
        ort.set_default_logger_severity(_FATAL)
    model = graph.model if isinstance(graph.model, bytes) else str(graph.model)
    try:
        session = ort.InferenceSession(model, _options(graph), providers=_providers(device))
    except Exception as error:
        name = model if isinstance(model, str) else f"a graph built from {graph.folder}"
        reason = str(error).splitlines()[0]
        raise Corrupt(f"ONNX Runtime cannot open {name}: {reason}") from error
    if device.provider not in session.get_providers():
        raise DeviceUnavailable(
            f"device {device.value!r} cannot be used: ONNX Runtime {ort.__version__} offers "
            f"{', '.join(session.get_providers())} here; start the server with --device cpu"
        )
    return session


def check_device(device: Device) -> None:
    """Opens and closes a session, so that a missing device is an error at the start.

    Raises:
        DeviceUnavailable: as `open_session`.
    """
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", ["x"], ["y"])
    opset = helper.make_opsetid("", 18)
    graph = helper.make_graph([node], "probe", [value], [result])
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    open_session(Graph(model.SerializeToString(), Path()), device)


def _options(graph: Graph) -> ort.SessionOptions:
    options = ort.SessionOptions()
    # Single-threaded runs side by side are faster than one run on several threads.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Errors are raised; a missing provider is found by comparison and need not be logged too.
    options.log_severity_level = _FATAL
    options.enable_cpu_mem_arena = options.enable_mem_pattern = graph.keeps_memory
    if isinstance(graph.model, bytes):
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(graph.folder)
        )
    return options


def _providers(device: Device) -> list[str | tuple[str, dict[str, str]]]:
    if device is Device.CPU:
        return [device.provider]
    # TF32 is on by default there and costs three digits.
    return [(device.provider, {"use_tf32": "0"}), Device.CPU.provider]
