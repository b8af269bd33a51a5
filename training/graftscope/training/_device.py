"""Where a training computes and in which precision: the only module that knows accelerate."""

from typing import Protocol, TypeVar

import torch
from accelerate import Accelerator
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

    def backward(self, loss: torch.Tensor, /) -> None:
        """Compute the gradients of a loss."""


def open_device(precision: Precision) -> TrainingDevice:
    """Choose the device that accelerate chooses: a GPU where there is one, else the CPU.

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
