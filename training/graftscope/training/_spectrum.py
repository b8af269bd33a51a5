"""Spectral normalisation: every linear map of a network is divided by its largest singular value.

A discriminator whose maps cannot stretch cannot run away from the generator (Miyato et al., 2018).
torch follows the singular vectors by one power iteration a forward pass; they are buffers, so they
are saved and resumed with the weights.
"""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

_MAPS = (nn.Linear, nn.Conv2d, nn.Embedding)


def bound_spectrum(network: nn.Module, randomness: torch.Generator) -> None:
    """Divide every weight of a network by its largest singular value from now on.

    Args:
        network: Its weights are drawn already; changed in place.
        randomness: The source of the first singular vectors, on the CPU.
    """
    seed = int(torch.randint(2**62, (), generator=randomness))
    # torch draws these vectors from its own stream, which others use as well.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in [each for each in network.modules() if isinstance(each, _MAPS)]:
            spectral_norm(module)
