"""The exponential moving average of a generator's weights, which is what a checkpoint keeps.

A GAN's generator circles around where it should be; the average lies in the middle.
"""

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_WARM_UP: Final = 10
"""The average keeps (1 + n) / (this + n) of itself at the n-th step, until that is its decay."""


def average_of(network: nn.Module, decay: float) -> AveragedModel:
    """Return an average that `update_parameters` brings up to date.

    Weights and the running statistics of normalisation are averaged alike.

    Args:
        network: A network like the one that is averaged; its own weights do not count.
        decay: What is kept of the average at each step, in (0, 1). The first steps keep less,
            (1 + n) / (10 + n) at the n-th, so that a short training is not averaged with its start.
    """

    def averaged(average: Tensor, present: Tensor, count: Tensor | int) -> Tensor:
        kept = min(decay, (1 + float(count)) / (_WARM_UP + float(count)))
        return average * kept + present * (1 - kept)

    average = AveragedModel(network, avg_fn=averaged, use_buffers=True)
    return average.requires_grad_(False).eval()


@torch.no_grad()
def measure_statistics(network: nn.Module, inputs: Iterable[tuple[Tensor, ...]]) -> None:
    """Set the running statistics of batch normalisation to the means over some batches.

    Activations of averaged weights vary less than those that the weights had on the way, so that
    an average of their statistics would make images pale.

    Args:
        network: Changed in place; in evaluation mode afterwards.
        inputs: The network's arguments, batch by batch.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # torch then takes the plain mean of all batches.
        norm.momentum = None
    network.train()
    for each in inputs:
        network(*each)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    network.eval()
