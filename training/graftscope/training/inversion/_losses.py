"""What is minimised where the latents of single images are optimised.

Shapes: B batch, Z latent, F features, C channels, H and W pixels.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from graftscope.training.errors import InversionError
from graftscope.training.inversion._generator import GeneratorDescription
from graftscope.training.quality import Features


@dataclass(frozen=True)
class Optimisation:
    """How latents are optimised.

    Attributes:
        steps: Steps of Adam for each image; 0 leaves the start as it is.
        learning_rate: Adam's rate at the first step, in standard deviations of the prior; it falls
            along a half cosine.
        prior_weight: Weight of the latents' mean square, in standard deviations of the prior,
            beside the pixels' mean square as a share of the range's width squared.
        features: A network whose features of both images are compared too; None for none.
        feature_weight: Weight of the features' mean square, likewise.

    Raises:
        InversionError: If a number is out of its range.
    """

    steps: int = 200
    learning_rate: float = 0.05
    prior_weight: float = 0.0
    features: Features | None = None
    feature_weight: float = 0.01

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing could be optimised."""
        for name in ("steps", "prior_weight", "feature_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InversionError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise InversionError(f"learning_rate must be above 0, not {self.learning_rate}")


class Losses:
    """The losses of latents, one for each image.

    Attributes:
        how: What they consist of.
    """

    def __init__(
        self, network: nn.Module, generator: GeneratorDescription, how: Optimisation
    ) -> None:
        """Take the generator, as a module and as what is known of it."""
        self.how = how
        self._network, self._generator = network, generator

    def latents(self, unit: Tensor) -> Tensor:
        """Latents (B, Z) from deviations from the prior's mean."""
        return self._generator.latent_mean + self._generator.latent_deviation * unit

    def unit(self, latents: Tensor) -> Tensor:
        """The other way."""
        return (latents - self._generator.latent_mean) / self._generator.latent_deviation

    def __call__(
        self, unit: Tensor, images: Tensor, wanted: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return losses (B,) and the pixels' mean squares (B,) among them."""
        how, span = self.how, self._generator.span
        made = self._network(self.latents(unit))
        pixels = ((made - images) / span).square().mean(dim=(1, 2, 3))
        loss = pixels
        if how.prior_weight:
            loss = loss + how.prior_weight * unit.square().mean(dim=1)
        if wanted is not None:
            found = self.features(made)
            assert found is not None
            loss = loss + how.feature_weight * (found - wanted).square().mean(dim=1)
        return loss, pixels

    def features(self, images: Tensor) -> Tensor | None:
        """Features (B, F) of images, where they are compared."""
        if self.how.features is None or not self.how.feature_weight:
            return None
        # The network expects [-1, 1].
        scaled = (images - self._generator.low) / self._generator.span * 2 - 1
        return self.how.features.network.features(scaled)
