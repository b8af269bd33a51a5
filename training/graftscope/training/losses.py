"""What is minimised: the VAE's and the GAN's losses (Table 1).

Functions of tensors alone; they know no network, optimiser or device.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import grad
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss, relu


@dataclass(frozen=True)
class VaeLoss:
    """The VAE's loss and its two parts, each a scalar tensor.

    Attributes:
        total: `reconstruction + beta * kl`.
        reconstruction: Mean squared error per pixel and colour, images in [-1, 1].
        kl: Divergence of the posterior from N(0, I) in nats, summed over latents, mean
            over the batch.
    """

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


def vae_loss(
    reconstruction: Tensor, image: Tensor, mean: Tensor, log_variance: Tensor, *, beta: float
) -> VaeLoss:
    """Loss of a VAE with Gaussian posteriors.

    Args:
        reconstruction: The generator's images (B, 3, H, W) in [-1, 1].
        image: The images that were encoded (B, 3, H, W) in [-1, 1].
        mean: The posterior's mean (B, Z).
        log_variance: The posterior's log-variance (B, Z).
        beta: Weight of the divergence (Table 1).

    Returns:
        The loss and its parts.
    """
    error = mse_loss(reconstruction, image)
    kl = kl_divergence(mean, log_variance).mean()
    return VaeLoss(error + beta * kl, error, kl)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)) in nats: (B, Z) twice -> (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, *, real_label: float) -> Tensor:
    """Sigmoid cross entropy of the discriminator over real and generated images.

    Args:
        real_logits: Logits of real images (B,).
        fake_logits: Logits of generated images (B,).
        real_label: What real images are labelled; under 1 it smooths one side only.

    Returns:
        The sum of both cross entropies, a scalar.
    """
    return _cross_entropy(real_logits, real_label) + _cross_entropy(fake_logits, 0.0)


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Cross entropy of generated images (B,) with the label 1 (the non-saturating loss)."""
    return _cross_entropy(fake_logits, 1.0)


def discriminator_hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Hinge loss of the discriminator: what is judged right by a margin of 1 costs nothing.

    Args:
        real_logits: Logits of real images (B,).
        fake_logits: Logits of generated images (B,).

    Returns:
        The sum of the means of max(0, 1 - real) and max(0, 1 + fake), a scalar.
    """
    return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()


def generator_hinge(fake_logits: Tensor) -> Tensor:
    """Minus the mean logit of generated images (B,), the hinge loss's other side."""
    return -fake_logits.mean()


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Mean over images of half the squared gradient of the logit at real images (R1).

    With it, a GAN's training comes to rest where generated images are like real ones (Mescheder,
    Geiger and Nowozin, 2018).

    Args:
        discriminator: Images (B, 3, H, W) to logits (B,).
        real: Real images (B, 3, H, W).

    Returns:
        A scalar that can be minimised.
    """
    images = real.detach().requires_grad_()
    # No logit depends on another image, so the gradient of the sum is that of each.
    (slopes,) = grad(discriminator(images).sum(), images, create_graph=True)
    return 0.5 * slopes.square().sum((1, 2, 3)).mean()


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
