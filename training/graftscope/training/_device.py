"""Where a training computes and in which precision: the only module that knows accelerate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState

from graftscope.training.errors import TrainingError
from graftscope.training.recipes import Precision

_ACCELERATE_PRECISION = {Precision.FLOAT32: "no", Precision.BFLOAT16: "bf16"}

Network = TypeVar("Network", bound=torch.nn.Module)


class TrainingDevice(Protocol):
    """The part of accelerate's `Accelerator` that a training uses."""

    @property
    def device(self) -> torch.device:
        """The device in torch's words."""

    def prepare(self, network: Network, /) -> Network:
        """Move a network to the device and let it compute in the precision."""

    def backward(self, loss: torch.Tensor, /, **options: object) -> None:
        """Compute the gradients of a loss; the options are those of torch's `backward`."""


@dataclass(frozen=True)
class ChosenPrecision:
    """A precision, and why it is this one.

    Attributes:
        precision: Never `Precision.AUTO`.
        reason: In a few words.
    """

    precision: Precision
    reason: str


def choose_precision() -> ChosenPrecision:
    """Choose bfloat16 where the device that accelerate chooses has instructions for it."""
    kind = PartialState().device.type
    if kind == "cpu":
        # Older releases of PyTorch cannot tell.
        return choose_for_processor(getattr(torch.cpu, "get_capabilities", dict)())
    if kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return ChosenPrecision(Precision.BFLOAT16, "this GPU computes in it")
    return ChosenPrecision(Precision.FLOAT32, f"this device ({kind}) is not known to do bfloat16")


def choose_for_processor(capabilities: Mapping[str, object]) -> ChosenPrecision:
    """Choose bfloat16 where a processor has instructions for it, such as AVX512-BF16 or AMX.

    PyTorch computes in bfloat16 on any processor; one that must emulate it takes some ten times as
    long as in float32.

    Args:
        capabilities: As `torch.cpu.get_capabilities` tells them; empty where it cannot.
    """
    having = sorted(name for name, has in capabilities.items() if "bf16" in name and has is True)
    if having:
        return ChosenPrecision(Precision.BFLOAT16, f"this processor has {', '.join(having)}")
    if capabilities:
        return ChosenPrecision(Precision.FLOAT32, "this processor has no instructions for bfloat16")
    return ChosenPrecision(
        Precision.FLOAT32, "this PyTorch cannot tell whether the processor has bfloat16"
    )


def open_device(precision: Precision) -> TrainingDevice:
    """Choose the device that accelerate chooses: a GPU where there is one, else the CPU.

    Args:
        precision: Any but `Precision.AUTO`.

    Raises:
        TrainingError: If a distributed launcher has started several processes.
    """
    # The library keeps one precision for the whole process; each training brings its own.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=_ACCELERATE_PRECISION[precision])
    if accelerator.num_processes > 1:
        raise TrainingError(
            f"training runs in one process, not in {accelerator.num_processes}; "
            "start it without a distributed launcher"
        )
    device: TrainingDevice = accelerator
    return device
