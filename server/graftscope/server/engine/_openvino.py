"""OpenVINO's execution provider, a plug-in of ONNX Runtime (package onnxruntime-ep-openvino).

It computes in float32 or, on Intel processors with bfloat16 instructions, in bfloat16. The plug-in
offers no device on other processors. It must not know models or analyses.
"""

import importlib.util
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import onnxruntime as ort

from graftscope.server.engine._precision import OPENVINO, Backend, Precision

PACKAGE = "onnxruntime_ep_openvino"

_REGISTRATION = "graftscope.openvino"
_HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16"}
# Without them the processor would have to emulate bfloat16.
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})


class EpDevice(Protocol):
    """A device that an execution provider offers."""

    @property
    def ep_name(self) -> str:
        """The provider's name."""

    @property
    def ep_metadata(self) -> dict[str, str]:
        """What the provider says of it; `ov_device` is OpenVINO's own name."""


class Runtime(Protocol):
    """The part of ONNX Runtime that knows plug-ins."""

    def register_execution_provider_library(self, name: str, path: str) -> None:
        """Loads a plug-in for the whole process, once for each name."""

    def get_ep_devices(self) -> Sequence[EpDevice]:
        """What providers offer, plug-ins among them."""


@dataclass(frozen=True)
class OpenVino:
    """The plug-in as it was found.

    Attributes:
        device: the processor, where the plug-in is there and offers it.
        bfloat16: whether the processor has instructions for it.
        absence: why there is no device, in one line; empty where there is one.
    """

    device: EpDevice | None
    bfloat16: bool = False
    absence: str = ""

    @property
    def backends(self) -> tuple[Backend, ...]:
        """What it runs."""
        if self.device is None:
            return ()
        precisions = (Precision.FP32, Precision.BF16) if self.bfloat16 else (Precision.FP32,)
        return tuple(Backend(OPENVINO, precision) for precision in precisions)


def find_openvino(
    runtime: Runtime = ort, library: str | None = None, flags: Iterable[str] | None = None
) -> OpenVino:
    """Loads the plug-in, where it is installed, and asks what it offers.

    Args:
        runtime: ONNX Runtime.
        library: the plug-in's file; found in its package by default.
        flags: the processor's features; its own by default.
    """
    path = library_path() if library is None else library
    if path is None:
        return OpenVino(None, absence="not installed (pip install 'graftscope[openvino]')")
    known = runtime.get_ep_devices()
    if not any(device.ep_name == OPENVINO for device in known):
        try:
            runtime.register_execution_provider_library(_REGISTRATION, path)
        except Exception as error:
            # A process loads it once; on a machine without its devices nothing else shows it.
            if "already registered" not in str(error):
                return OpenVino(None, absence=f"cannot be loaded: {str(error).splitlines()[0]}")
        known = runtime.get_ep_devices()
    return _found(known, processor_flags() if flags is None else frozenset(flags))


def session_options(precision: Precision, streams: int) -> dict[str, str]:
    """The provider's options for single-threaded runs side by side.

    Precision and streams go through `load_config`: the plug-in ignores options of their own.

    Args:
        precision: FP32 or BF16; without it the plug-in takes bfloat16 wherever it can.
        streams: how many runs go side by side, each on a thread of its own.
    """
    config = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "NUM_STREAMS": str(streams),
        "INFERENCE_NUM_THREADS": str(streams),
    }
    return {"load_config": json.dumps({"CPU": config})}


def library_path() -> str | None:
    """The plug-in's file; None where its package is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        return None
    package = importlib.import_module(PACKAGE)
    return str(package.get_library_path())


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The processor's features as Linux names them; empty where it is not Linux."""
    if not cpuinfo.is_file():
        return frozenset()
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    return frozenset(next(lines, "").partition(":")[2].split())


def _found(devices: Sequence[EpDevice], flags: frozenset[str]) -> OpenVino:
    own = (device for device in devices if device.ep_name == OPENVINO)
    processor = next((x for x in own if x.ep_metadata.get("ov_device") == "CPU"), None)
    if processor is None:
        return OpenVino(None, absence="installed, offers no device on this processor")
    return OpenVino(processor, bool(flags & _BFLOAT16_FLAGS))
