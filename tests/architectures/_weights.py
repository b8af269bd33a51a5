"""Random weights under which signals keep their size, so that every layer matters."""

from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)

RELU_GAIN = 1.4
"""Makes up for what a ReLU takes away."""


def filled(module: Module, gain: float = RELU_GAIN, colours: float = 1.0) -> Module:
    """Fill every parameter and buffer, always with the same values.

    Args:
        module: The module; changed in place and returned.
        gain: By how much the output of a linear part may deviate more than its input does.
        colours: By what the weights are scaled that give an image's three colours.
    """
    randomness = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in module.modules():
            last = isinstance(part, nn.Conv2d) and part.out_channels == 3
            _fill(part, gain * colours if last else gain, randomness)
    return module


def _fill(part: nn.Module, gain: float, randomness: torch.Generator) -> None:
    normalises = isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)
    for name, parameter in part.named_parameters(recurse=False):
        if parameter.dim() < 2 and name == "weight" and normalises:
            parameter.uniform_(0.7, 1.3, generator=randomness)
        elif parameter.dim() < 2 or name == "bias":
            parameter.normal_(0.0, 0.1, generator=randomness)
        else:
            fan_in = _fan_in(part, parameter)
            scale = gain / fan_in**0.5 if fan_in else 1.0
            parameter.normal_(0.0, scale, generator=randomness)
    for name, buffer in part.named_buffers(recurse=False):
        if name == "running_mean":
            buffer.normal_(0.0, 0.1, generator=randomness)
        elif name == "running_var":
            buffer.uniform_(0.5, 1.5, generator=randomness)


def _fan_in(part: nn.Module, weight: torch.Tensor) -> float:
    """Return how many values each output of a linear part is summed from; 0 for others."""
    if isinstance(part, nn.ConvTranspose2d):
        strides = part.stride[0] * part.stride[1]
        return part.in_channels * weight[0, 0].numel() / strides
    if isinstance(part, nn.Linear | nn.Conv2d):
        return weight[0].numel()
    return 0.0
