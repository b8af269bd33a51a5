"""Interventions as PyTorch's users make them: a forward hook that replaces what it sees."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from graftscope.v1 import bundle_pb2

Edit = Callable[[Tensor], Tensor]


@contextmanager
def hooked(module: nn.Module, hook: bundle_pb2.TorchHook, edit: Edit) -> Iterator[None]:
    """Let an edit act where a bundle says that a layer is computed."""
    part, calls = module.get_submodule(hook.module), iter(range(1_000_000))

    def on_input(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        return (edit(given[0]), *given[1:]) if next(calls) == hook.call else None

    def on_output(_: nn.Module, __: tuple[Tensor, ...], result: Tensor) -> Tensor | None:
        return edit(result) if next(calls) == hook.call else None

    handle = (
        part.register_forward_pre_hook(on_input)
        if hook.input
        else part.register_forward_hook(on_output)
    )
    with handle:
        yield


def keep(kept: list[Tensor]) -> Edit:
    """Return an edit that changes nothing, and keeps what it sees."""

    def edit(activation: Tensor) -> Tensor:
        kept.append(activation.clone())
        return activation

    return edit


def swap(donor: Tensor, channels: Tensor, axis: int) -> Edit:
    """Return an edit that takes some channels from a donor."""
    shape = [1] * donor.dim()
    shape[axis] = -1
    return lambda activation: torch.where(channels.reshape(shape), donor, activation)
