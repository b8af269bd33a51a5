"""Find where PyTorch computes a layer: the module that returns it, or is given it.

Rules
1. A module's call gives a layer if what it returns, or its first argument, has the layer's values.
2. It is the layer's place only if an edit there does what an edit of the graph does: a module that
   is given an activation which others read too is none.
3. What a module returns comes before what one is given; then the module whose path is nearest the
   layer's name; then the outermost; then the first call.

A layer that no module returns or is given, such as a sum inside of one, has no place.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftscope.exporter._samples import draw_latents, held, read_stored
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter._subject import Arrays, Reference
from graftscope.v1 import bundle_pb2

_SAMPLED: Final = 4096
"""Elements of an activation that are compared; an edit decides in the end."""

_NEAR: Final = 1e-3
"""As a share of an activation's largest value."""

_TOLERANCE: Final = 1e-5
"""Largest difference between images, as a share of their range's width."""

_MOST_TRIES: Final = 8

Edit = Callable[[Tensor], Tensor]
Values = TypeVar("Values", Tensor, NDArray[np.float32])


@dataclass(frozen=True, order=True)
class HookPlace:
    """A point at which a forward hook sees a tensor; the better one is the lesser.

    Attributes:
        input: Whether it is the module's first argument; else what it returns.
        distance: How far the module's path is from the layer's name.
        depth: How many modules lie around it.
        call: Which of the module's calls in one pass, from 0.
        module: The module's path.
    """

    input: bool
    distance: int
    depth: int
    call: int
    module: str


@dataclass(frozen=True)
class _Wanted:
    """A layer, and what the graph computes there and after an edit there."""

    name: str
    shape: tuple[int, ...]
    sample: NDArray[np.float32]
    hybrid: NDArray[np.float32]
    places: list[HookPlace] = field(default_factory=list)

    def is_seen_in(self, tensor: object) -> bool:
        if not isinstance(tensor, Tensor):
            return False
        if tuple(tensor.shape) != self.shape or not tensor.is_floating_point():
            return False
        found = _sampled(tensor.detach().numpy())
        scale = float(np.abs(self.sample).max()) or 1.0
        return bool(np.abs(found - self.sample).max() <= _NEAR * scale)


def find_hooks(
    module: nn.Module,
    run: Reference,
    folder: Path,
    manifest: bundle_pb2.Bundle,
    *,
    root: bool = True,
) -> dict[str, bundle_pb2.TorchHook]:
    """Find the places of a bundle's layers in the module that it was made from.

    Args:
        module: The module, in evaluation mode, on the CPU.
        run: Computes an image with it.
        folder: Where the bundle's graphs lie.
        manifest: The bundle's.
        root: Whether the module itself is called, so that hooks on it are.

    Returns:
        A hook by the layer's name; layers without a place are absent.
    """
    inputs = manifest.inputs
    latents = held(inputs, draw_latents(inputs, read_stored(folder, inputs), 1))
    wanted = [_computed(folder, layer, latents) for layer in manifest.layers]
    with _watching(module, wanted, root=root):
        run(latents)
    allowed = _TOLERANCE * (manifest.image.high - manifest.image.low)
    hooks = {}
    for layer in wanted:
        for place in sorted(layer.places)[:_MOST_TRIES]:
            with editing(module, place, _edited):
                (image,) = run(latents)
            if np.abs(image - layer.hybrid).max() <= allowed:
                hooks[layer.name] = bundle_pb2.TorchHook(
                    module=place.module, input=place.input, call=place.call
                )
                break
    return hooks


@contextmanager
def editing(module: nn.Module, place: HookPlace, edit: Edit) -> Iterator[None]:
    """Let an edit act on what passes a place, as long as the block lasts.

    Args:
        module: The module that holds the place.
        place: Where.
        edit: What becomes of the tensor; it must not change it in place.
    """
    calls: Counter[str] = Counter()

    def is_meant() -> bool:
        calls[place.module] += 1
        return calls[place.module] == place.call + 1

    def before(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        return (edit(arguments[0]), *arguments[1:]) if is_meant() else None

    def after(_: nn.Module, __: object, result: Tensor) -> Tensor | None:
        return edit(result) if is_meant() else None

    part = module.get_submodule(place.module)
    handle = (
        part.register_forward_pre_hook(before) if place.input else part.register_forward_hook(after)
    )
    try:
        yield
    finally:
        handle.remove()


def _computed(folder: Path, layer: bundle_pb2.Layer, latents: Arrays) -> _Wanted:
    """Run the graph's halves: the activation, and the image after an edit."""
    tensors = dict(latents)
    if layer.upstream:
        tensors |= CpuSession(folder / layer.upstream, optimised=False).run(latents)
    activation = np.asarray(tensors[layer.tensor], dtype=np.float32)
    downstream = CpuSession(folder / layer.downstream, optimised=False)
    tensors[layer.tensor] = _edited(activation)
    (hybrid,) = downstream.run(tensors).values()
    return _Wanted(layer.name, activation.shape, _sampled(activation), hybrid)


def _edited(activation: Values) -> Values:
    """Change an activation so that an edit elsewhere, such as before a nonlinearity, differs."""
    return 0.5 - activation


def _sampled(activation: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return some elements, spread over channels, rows and columns."""
    # An odd step does not stay in one column.
    return activation.reshape(-1)[:: max(1, activation.size // _SAMPLED) | 1].astype(np.float32)


@contextmanager
def _watching(module: nn.Module, wanted: Sequence[_Wanted], *, root: bool) -> Iterator[None]:
    """Note the places of wanted layers while the module runs."""
    with ExitStack() as handles:
        for path, part in module.named_modules():
            if path or root:
                for handle in _watch(path, part, wanted):
                    handles.callback(handle.remove)
        yield


def _watch(
    path: str, part: nn.Module, wanted: Sequence[_Wanted]
) -> tuple[torch.utils.hooks.RemovableHandle, ...]:
    calls: Counter[bool] = Counter()
    depth = path.count(".") + bool(path)

    def note(tensor: object, *, given: bool) -> None:
        call = calls[given]
        calls[given] += 1
        for layer in wanted:
            if layer.is_seen_in(tensor):
                distance = _distance(path, layer.name)
                layer.places.append(HookPlace(given, distance, depth, call, path))

    return (
        part.register_forward_pre_hook(
            lambda _, arguments: note(arguments[0] if arguments else None, given=True)
        ),
        part.register_forward_hook(lambda _, __, result: note(result, given=False)),
    )


def _distance(path: str, name: str) -> int:
    """Return how many steps lead from a module's path to a layer's name.

    A name may lack the modules around every layer.
    """
    parts, wanted = path.split("."), name.split(".")
    lengths = []
    for start in range(len(parts)):
        own = parts[start:]
        shared = 0
        while shared < min(len(own), len(wanted)) and own[shared] == wanted[shared]:
            shared += 1
        lengths.append(len(own) + len(wanted) - 2 * shared)
    return min(lengths)
