"""Learning rates as a function of the step alone, so that a resumed training needs no state."""

import math
from collections.abc import Mapping

from torch.optim import Adam

from graftscope.training.recipes import Recipe, Schedule


def learning_rate_share(schedule: Schedule, step: int, steps: int) -> float:
    """Return the share of the full learning rate at a step (from 0): in (0, 1]."""
    match schedule:
        case Schedule.CONSTANT:
            return 1.0
        case Schedule.COSINE:
            return 0.5 * (1 + math.cos(math.pi * step / steps))


def set_learning_rates(
    optimizers: Mapping[str, Adam], recipe: Recipe, step: int, steps: int
) -> None:
    """Set every optimiser's learning rate for a step (from 0)."""
    share = learning_rate_share(recipe.schedule, step, steps)
    for name, optimizer in optimizers.items():
        full = recipe.learning_rate
        if name == "discriminator":
            full = recipe.discriminator_learning_rate
        for group in optimizer.param_groups:
            group["lr"] = full * share
