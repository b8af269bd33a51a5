"""Randomness that depends on the seed, the purpose and a number alone.

Nothing here keeps a state: the noise of step 5,000 or the order of epoch 7 is the same whether
the training came there in one run or was resumed. All draws are made on the CPU, so they do
not depend on the device.
"""

from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What a draw is for; each purpose has a stream of its own."""

    GENERATOR_WEIGHTS = 0
    MIRROR_WEIGHTS = 1
    ORDER = 2
    NOISE = 3
    SAMPLES = 4
    MEASUREMENT = 5
    FEATURE_WEIGHTS = 6
    FEATURE_ORDER = 7
    FEATURE_MIRRORING = 8
    HALVES = 9
    PRIOR = 10
    ENCODED = 11
    IMAGE_NOISE = 12
    SUBSETS = 13
    CLASSIFIER_WEIGHTS = 14
    CLASSIFIER_ORDER = 15
    CLASSIFIER_CHANGES = 16
    STATISTICS = 17
    INVERTER_WEIGHTS = 40
    INVERTED_SAMPLES = 41
    PHOTOGRAPH_ORDER = 42
    INVERTER_MEASUREMENT = 43
    INVERTER_SAMPLES = 44
    STARTS = 45


def randomness(seed: int, purpose: Purpose, index: int = 0) -> torch.Generator:
    """Return the generator of one purpose and one index (a step or an epoch)."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, index))


def seed_of(seed: int, purpose: Purpose, index: int = 0) -> int:
    """Return the seed of one purpose and one index, for randomness of other libraries."""
    (word,) = np.random.SeedSequence((seed, purpose, index)).generate_state(1, np.uint64)
    return int(word)


def batch_positions(
    seed: int, step: int, images: int, batch_size: int, purpose: Purpose = Purpose.ORDER
) -> torch.Tensor:
    """Positions of the images of one step (from 0): (batch_size,), int64.

    Every epoch has an order of its own; what does not fill a batch is left out of it.
    """
    epoch, batch = divmod(step, images // batch_size)
    order = torch.randperm(images, generator=randomness(seed, purpose, epoch))
    return order[batch * batch_size : (batch + 1) * batch_size]
