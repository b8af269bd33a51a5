"""Optimisers as the recipes ask for them, and a step down a loss."""

from torch import Tensor, nn
from torch.optim import Adam

from graftscope.training._device import TrainingDevice
from graftscope.training.recipes import Recipe


def adam(recipe: Recipe, learning_rate: float, *networks: nn.Module) -> Adam:
    """Return Adam for the weights of some networks."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return Adam(parameters, lr=learning_rate, betas=(recipe.adam_beta1, recipe.adam_beta2))


def minimise(device: TrainingDevice, optimizer: Adam, loss: Tensor, *, alone: bool = False) -> None:
    """Step once down a loss.

    Args:
        device: Computes the gradients.
        optimizer: Steps.
        loss: A scalar.
        alone: Whether gradients are computed for the optimiser's weights alone, and not for those
            of another network that the loss went through, which costs less.
    """
    optimizer.zero_grad()
    if alone:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        device.backward(loss, inputs=weights)
    else:
        device.backward(loss)
    optimizer.step()
