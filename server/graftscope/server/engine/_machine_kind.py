"""What of a machine decides how fast plans are: equal where the same plan is the fastest.

It must not know plans or models.
"""

import functools
import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import onnxruntime as ort

_CPU_INFO = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia")
_PACKAGES = ("graftscope", "llvmlite", "onnxruntime-ep-openvino")


@functools.cache
def machine_kind() -> str:
    """This machine's kind: a sha256, which does not change while the process lives."""
    return hashlib.sha256("\n".join(_facts()).encode()).hexdigest()


def processor_here() -> str:
    """This machine's processor: equal where arithmetic has the same last bits."""
    return " ".join(processor_facts(_CPU_INFO))


def _facts() -> list[str]:
    return [
        *processor_facts(_CPU_INFO),
        str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        f"onnxruntime {ort.__version__} {','.join(ort.get_available_providers())}",
        *(f"{name} {_version(name)}" for name in _PACKAGES),
        *gpu_facts(_GPUS),
    ]


def processor_facts(cpuinfo: Path) -> list[str]:
    """A processor's name and its features, of a file like /proc/cpuinfo."""
    if not cpuinfo.is_file():
        return [platform.machine(), platform.processor()]
    lines = [line.partition(":") for line in cpuinfo.read_text().splitlines()]
    # Of the first core; what differs between cores, such as its clock, is not among these.
    told = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    features = " ".join(sorted((told.get("flags") or told.get("Features", "")).split()))
    return [platform.machine(), told.get("model name", ""), features]


def gpu_facts(driver: Path) -> list[str]:
    """The driver of NVIDIA's GPUs and their names; none where there is no driver."""
    cards = sorted(driver.glob("gpus/*/information"))
    files = [driver / "version", *cards] if cards else []
    kept = ("NVRM", "Model")
    lines = (line for file in files for line in file.read_text().splitlines())
    return [line for line in lines if line.startswith(kept)]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
