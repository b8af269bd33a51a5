"""Switch modules over that give every sample weights of its own, where they have a switch for it.

StyleGAN2's code either scales weights, which makes the batch a number of groups, or scales maps,
which computes the same. The second form leaves the batch free.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from graftscope.exporter.sources._module import Made, MethodModule

_SWITCHES: Final = ("fused_modconv", "fused_modconv_default")
_NEAR: Final = 1e-4
"""Largest difference between images, as a share of their largest value."""


def scale_maps(made: Made, call: MethodModule, examples: Sequence[Tensor]) -> tuple[str, ...]:
    """Switch a module's parts over, if that changes nothing but rounding.

    Args:
        made: The module; its parts' attributes are changed in place.
        call: How it is called.
        examples: One tensor for each of the call's inputs, of several samples.

    Returns:
        A note, where something was switched.
    """
    found = list(_switches(made.module))
    if not found:
        return ()
    before = _images(call, examples)
    for part, name, _ in found:
        setattr(part, name, False)
    after = _images(call, examples)
    if (after - before).abs().max() <= _NEAR * before.abs().max():
        names = ", ".join(dict.fromkeys(name for _, name, _ in found))
        return (f"{names}: switched off, so that maps are scaled instead of weights",)
    for part, name, value in found:
        setattr(part, name, value)
    return ()


def _switches(module: nn.Module) -> Iterator[tuple[nn.Module, str, object]]:
    for part in module.modules():
        for name in _SWITCHES:
            if getattr(part, name, False):
                yield part, name, getattr(part, name)
        # Ports call it `fused`, a word that other modules use for other things.
        if "odulated" in type(part).__name__ and getattr(part, "fused", False):
            yield part, "fused", part.fused


def _images(call: MethodModule, examples: Sequence[Tensor]) -> Tensor:
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images: Tensor = call(*examples)
        return images
