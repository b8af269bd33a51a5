"""The losses against sums written out in numpy."""

import numpy as np
import pytest
import torch

from graftscope.training.losses import (
    discriminator_loss,
    generator_loss,
    kl_divergence,
    vae_loss,
)

# float32 against float64.
RELATIVE = 1e-5


def test_vae_loss_is_the_error_per_pixel_and_beta_times_the_divergence_per_image() -> None:
    rng = np.random.default_rng(0)
    image, again = rng.uniform(-1, 1, (2, 4, 3, 5, 5))
    mean, log_variance = rng.normal(size=(2, 4, 7))

    found = vae_loss(
        *(torch.tensor(a, dtype=torch.float32) for a in (again, image, mean, log_variance)),
        beta=0.25,
    )

    error = np.sum((again - image) ** 2) / (4 * 3 * 5 * 5)
    variance = np.exp(log_variance)
    kl = np.sum(0.5 * (mean**2 + variance - 1 - np.log(variance))) / 4
    assert found.reconstruction.item() == pytest.approx(error, rel=RELATIVE)
    assert found.kl.item() == pytest.approx(kl, rel=RELATIVE)
    assert found.total.item() == pytest.approx(error + 0.25 * kl, rel=RELATIVE)


def test_a_posterior_equal_to_the_prior_has_no_divergence() -> None:
    assert kl_divergence(torch.zeros(2, 6), torch.zeros(2, 6)).tolist() == [0, 0]


def test_discriminator_loss_smooths_the_real_label_alone() -> None:
    real, fake = np.array([0.3, -1.2]), np.array([2.0, -0.5])

    found = discriminator_loss(torch.tensor(real), torch.tensor(fake), real_label=0.9)

    says_real = 1 / (1 + np.exp(-real))
    says_fake = 1 / (1 + np.exp(fake))
    by_hand = -np.mean(0.9 * np.log(says_real) + 0.1 * np.log(1 - says_real))
    by_hand -= np.mean(np.log(says_fake))
    assert found.item() == pytest.approx(by_hand, rel=RELATIVE)


def test_generator_loss_falls_as_the_discriminator_is_deceived() -> None:
    logits = np.array([-1.0, 0.5])

    found = generator_loss(torch.tensor(logits))

    assert found.item() == pytest.approx(np.mean(np.log1p(np.exp(-logits))), rel=RELATIVE)
    assert generator_loss(torch.tensor([9.0])) < generator_loss(torch.tensor([-9.0]))
