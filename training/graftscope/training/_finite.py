"""Proof that a training still holds finite numbers, before anything is made of them.

Losses are those before a step, so that the weights after it need a proof of their own.
"""

import math
from collections.abc import Mapping

import torch
from torch import nn

from graftscope.training.errors import DivergedError


def require_finite_values(step: int, values: Mapping[str, float | None]) -> None:
    """Refuse losses, or what was measured, that are no finite numbers; None is unmeasured.

    Raises:
        DivergedError: If one is not finite.
    """
    bad = {
        name: value
        for name, value in values.items()
        if value is not None and not math.isfinite(value)
    }
    if bad:
        raise _diverged(step, str(bad))


def require_finite_weights(step: int, networks: Mapping[str, nn.Module]) -> None:
    """Refuse networks with a weight, or a running statistic, that is no finite number.

    Raises:
        DivergedError: If one is not finite.
    """
    for network, module in networks.items():
        for name, tensor in module.state_dict().items():
            if not bool(torch.isfinite(tensor).all()):
                raise _diverged(step, f"{network}'s {name} is not finite")


def _diverged(step: int, what: str) -> DivergedError:
    return DivergedError(
        f"at step {step} the training has diverged: {what}; "
        "lower learning_rate, or set precision=float32"
    )
