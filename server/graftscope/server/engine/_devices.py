"""Where graphs run, and the options that ONNX Runtime gets for it.

It must not know models or analyses.
"""

import errno
import functools
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import onnxruntime as ort
from onnx import TensorProto, helper

from graftscope.sandbox import in_our_words
from graftscope.server.engine._float16 import in_float16
from graftscope.server.engine._openvino import EpDevice, OpenVino, find_openvino, session_options
from graftscope.server.engine._precision import (
    CPU,
    CUDA,
    OPENVINO,
    Backend,
    Precision,
    choose_backends,
)
from graftscope.server.errors import Corrupt, DeviceUnavailable, Overloaded

_FATAL = 4
_TOO_MANY_FILES = os.strerror(errno.EMFILE)


class Device(Enum):
    """A device that is asked for by name; nothing falls back to another in silence."""

    CPU = "cpu"
    CUDA = "cuda"

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of the execution provider."""
        return {Device.CPU: CPU, Device.CUDA: CUDA}[self]

    @property
    def plain(self) -> Backend:
        """Its own provider in float32."""
        return Backend(self.provider)


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


@functools.cache
def openvino() -> OpenVino:
    """OpenVINO's plug-in; what it offers does not change while the process lives."""
    return find_openvino()


def offered(device: Device, plugin: OpenVino | None = None) -> tuple[Backend, ...]:
    """All that a device can run here, the plain one first.

    ONNX Runtime's CPU provider has no convolution in bfloat16 or float16, its CUDA provider none in
    bfloat16.

    Args:
        device: the device.
        plugin: OpenVINO's plug-in; the one that is installed by default.
    """
    if device is Device.CUDA:
        return tuple(Backend(CUDA, x) for x in (Precision.FP32, Precision.TF32, Precision.FP16))
    return (device.plain, *(plugin or openvino()).backends)


def backends(device: Device, wanted: str) -> tuple[Backend, ...]:
    """What this machine can run for a precision that is asked for.

    Args:
        device: the device.
        wanted: fp32, bf16, tf32, fp16, or auto for all that there are.

    Returns:
        At least one, the plain one (the device's own provider in float32) first where it fits.

    Raises:
        PrecisionUnavailable: the precision cannot be run; the message says which can.
    """
    found = openvino()
    missing = f"; OpenVINO: {found.absence}" if device is Device.CPU and found.absence else ""
    return choose_backends(offered(device, found), wanted, device.value, missing)


def describe_devices(device: Device, plugin: OpenVino | None = None) -> str:
    """One line on what runs here: the device, precisions with their providers, OpenVINO."""
    found = plugin or openvino()
    runs = ", ".join(map(str, offered(device, found)))
    return f"device {device.value}: {runs}; OpenVINO: {found.absence or 'in use for device cpu'}"


def open_session(
    graph: Graph, backend: Backend, streams: int = 1, plugin: OpenVino | None = None
) -> ort.InferenceSession:
    """Opens a session on exactly this provider, in exactly this precision.

    Args:
        graph: what to open.
        backend: what runs it.
        streams: how many runs will go side by side.
        plugin: OpenVINO's plug-in; the one that is installed by default.

    Raises:
        DeviceUnavailable: the session came up on another provider than the one asked for, or the
            plug-in offers no device.
        Corrupt: the graph cannot be opened.
    """
    if backend.provider != CPU:
        # ONNX Runtime itself logs a provider that cannot be loaded; the error below says it.
        ort.set_default_logger_severity(_FATAL)
    if backend.precision is Precision.FP16:
        graph = _in_float16(graph)
    session = _opened(graph, backend, streams, plugin)
    if backend.provider not in session.get_providers():
        raise DeviceUnavailable(
            f"device {backend.memory!r} cannot be used for {backend}: ONNX Runtime "
            f"{ort.__version__} offers {', '.join(session.get_providers())} here; start the server "
            "with --device cpu"
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
    open_session(Graph(model.SerializeToString(), Path()), device.plain)


def _opened(
    graph: Graph, backend: Backend, streams: int, plugin: OpenVino | None
) -> ort.InferenceSession:
    model = graph.model if isinstance(graph.model, bytes) else str(graph.model)
    options = _options(graph)
    try:
        if backend.provider == OPENVINO:
            device = _device_of(plugin or openvino())
            config = session_options(backend.precision, streams)
            options.add_provider_for_devices([device], config)
            return ort.InferenceSession(model, options)
        return ort.InferenceSession(model, options, providers=_providers(backend))
    except DeviceUnavailable:
        raise
    except Exception as error:
        raise _cannot_open(graph, error) from error


def _in_float16(graph: Graph) -> Graph:
    try:
        return Graph(in_float16(graph.model, graph.folder), graph.folder, graph.keeps_memory)
    except Exception as error:
        raise _cannot_open(graph, error) from error


def _cannot_open(graph: Graph, error: Exception) -> Corrupt | Overloaded:
    if _TOO_MANY_FILES in str(error):
        return Overloaded(
            "the server has as many files and connections open as it may, so a session cannot be "
            "opened; ask again in a second",
            retry_after_s=1.0,
        )
    name = graph.model.name if isinstance(graph.model, Path) else "a graph made of a bundle's"
    return Corrupt(f"ONNX Runtime cannot open {name}: {in_our_words(error)}")


def _device_of(plugin: OpenVino) -> EpDevice:
    if plugin.device is None:
        raise DeviceUnavailable(f"OpenVINO's execution provider cannot be used: {plugin.absence}")
    return plugin.device


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


def _providers(backend: Backend) -> list[str | tuple[str, dict[str, str]]]:
    if backend.provider == CPU:
        return [CPU]
    # TF32 is on by default there and costs three digits.
    use_tf32 = "1" if backend.precision is Precision.TF32 else "0"
    return [(CUDA, {"use_tf32": use_tf32}), CPU]
