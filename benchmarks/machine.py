"""Which machine measured: a figure without its processor says nothing."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
_PACKAGES = (
    "onnxruntime-gpu",
    "onnxruntime",
    "onnxruntime-ep-openvino",
    "torch",
    "numpy",
    "pyvene",
)


@dataclass(frozen=True)
class Machine:
    """The machine.

    Attributes:
        processor: its name.
        cores: how many this process may use.
        flags: what of it matters here: AVX-512, bfloat16, AMX.
        versions: of the packages that compute, by name; those that are installed.
    """

    processor: str
    cores: int
    flags: tuple[str, ...]
    versions: dict[str, str]

    @property
    def has_bfloat16(self) -> bool:
        """Whether the processor multiplies in bfloat16; elsewhere it is emulated, slowly."""
        return any(flag.endswith("bf16") for flag in self.flags)

    def __str__(self) -> str:
        """In one line, as it stands above a table."""
        return f"{self.processor}, {self.cores} cores, {' '.join(self.flags)}"


def this_machine() -> Machine:
    """The machine that this process runs on."""
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    flags = field_of(lines, "flags").split()
    name = field_of(lines, "model name") or platform.processor() or platform.machine()
    return Machine(name, cores(), tuple(x for x in _FLAGS if x in flags), _versions())


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def field_of(lines: list[str], name: str) -> str:
    """The first value of a name in the lines of /proc/cpuinfo; empty if there is none."""
    found = (line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == name)
    return next(found, "")


def _versions() -> dict[str, str]:
    return {name: found for name in _PACKAGES if (found := _version(name))}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
