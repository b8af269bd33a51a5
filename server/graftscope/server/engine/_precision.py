"""In what numbers a graph is computed, and by which execution provider.

It must not know sessions, models or how a provider is set up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from graftscope.server.errors import PrecisionUnavailable

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"

AUTO = "auto"
"""Asks for whichever precision is fastest and close enough; never what something ran in."""


class Precision(Enum):
    """Of the linear operations; images, sums and weights on disk stay as they are.

    Attributes:
        FP32: float32.
        BF16: bfloat16, with sums in float32.
        TF32: float32 whose factors are rounded to 10 bits of mantissa, on NVIDIA's tensor cores.
        FP16: float16.
    """

    FP32 = "fp32"
    BF16 = "bf16"
    TF32 = "tf32"
    FP16 = "fp16"


WORDS = (*(precision.value for precision in Precision), AUTO)
"""What may be asked for."""


@dataclass(frozen=True)
class Backend:
    """What runs a graph.

    Attributes:
        provider: ONNX Runtime's name of the execution provider.
        precision: of the arithmetic.
    """

    provider: str
    precision: Precision = Precision.FP32

    @property
    def memory(self) -> str:
        """Where its arrays lie, in ONNX Runtime's word: cpu or cuda."""
        return "cuda" if self.provider == CUDA else "cpu"

    def __str__(self) -> str:
        """As it is said to people: fp32 (CPUExecutionProvider)."""
        return f"{self.precision.value} ({self.provider})"


def choose_backends(
    offered: Sequence[Backend], wanted: str, device: str, missing: str = ""
) -> tuple[Backend, ...]:
    """Those of the wanted precision; all of them for `auto`.

    Args:
        offered: what can be run, the plain one first.
        wanted: one of `WORDS`.
        device: the device's name, for the message.
        missing: what could run more if it were there, for the message.

    Raises:
        PrecisionUnavailable: none is of this precision.
    """
    chosen = tuple(x for x in offered if wanted in (AUTO, x.precision.value))
    if not chosen:
        runs = ", ".join(map(str, offered))
        raise PrecisionUnavailable(
            f"precision {wanted!r} cannot be run on device {device!r} here; it runs {runs}"
            f"{missing}",
            field="precision",
        )
    return chosen
