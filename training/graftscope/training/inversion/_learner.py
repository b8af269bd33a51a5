"""One optimiser step of an inverter.

Errors are shares: the sum of squares of what is left unexplained, divided by that of the batch
around its own mean. So latents and pixels can be added up, whatever their ranges; 0 is perfect, and
1 is what always telling the mean would have.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from graftscope.training._device import TrainingDevice
from graftscope.training._optimisers import minimise
from graftscope.training._randomness import Purpose, randomness
from graftscope.training.inversion._generator import SampledGenerator
from graftscope.training.inversion._network import Inverter
from graftscope.training.inversion._settings import InverterSettings
from graftscope.training.networks import initialise, to_channels_last


class InverterLearner:
    """The network and its optimiser; the loop changes them.

    Attributes:
        networks: The network by the name of its file.
        averages: Of weights: none.
        optimizers: Its optimiser.
    """

    networks: dict[str, nn.Module]
    averages: dict[str, AveragedModel]
    optimizers: dict[str, Adam]

    def __init__(
        self,
        generator: SampledGenerator,
        settings: InverterSettings,
        seed: int,
        device: TrainingDevice,
    ) -> None:
        """Build the network on the device, with weights of the seed."""
        network = Inverter(generator.description, settings)
        initialise(network, randomness(seed, Purpose.INVERTER_WEIGHTS))
        to_channels_last(network)
        network = device.prepare(network).train()
        self._settings, self._device = settings, device
        self._generate = None if generator.network is None else _prepared(generator.network, device)
        self.networks = {"inverter": network}
        self.averages = {}
        self.optimizers = {"inverter": Adam(network.parameters(), lr=settings.learning_rate)}

    def update(
        self, latents: Tensor, images: Tensor, photographs: Tensor | None
    ) -> dict[str, float]:
        """Do one step.

        Args:
            latents: (B, Z), from the prior.
            images: (B, C, H, W), what the generator makes of them.
            photographs: (B, C, H, W) in the generator's range; None for none.

        Returns:
            The losses before the step, by name.
        """
        shown = images if photographs is None else torch.cat([images, photographs])
        told = self.networks["inverter"](shown)
        weights, samples = self._settings, len(images)
        parts = {"latent_error": (weights.latent_weight, unexplained(told[:samples], latents))}
        if self._generate is not None and (photographs is not None or weights.pixel_weight):
            again = self._generate(told)
            made, of_photographs = again[:samples], again[samples:]
            parts["pixel_error"] = (weights.pixel_weight, unexplained(made, images))
            if photographs is not None:
                error = unexplained(of_photographs, photographs)
                parts["photograph_error"] = (weights.photograph_weight, error)
        loss = torch.stack([weight * error for weight, error in parts.values()]).sum()
        minimise(self._device, self.optimizers["inverter"], loss)
        return {"loss": loss.item(), **{name: error.item() for name, (_, error) in parts.items()}}


def unexplained(told: Tensor, truth: Tensor) -> Tensor:
    """Sum of squared errors (B, ...) as a share of the truth's own around its batch's mean."""
    error = (told.float() - truth).square().sum()
    spread: Tensor = (truth - truth.mean(dim=0)).square().sum()
    return error / spread.clamp_min(torch.finfo(torch.float32).tiny)


def _prepared(network: nn.Module, device: TrainingDevice) -> nn.Module:
    # A copy: the device's wrapping would lower the precision of the caller's own.
    return device.prepare(deepcopy(network)).eval()
