"""PyTorch compiled: the hooked network and the map's sum as one function of `torch.compile`.

The hook selects with `torch.where` by a mask that is an input, so that no channel compiles anew;
weights are frozen, which lets the compiler fold batch normalisation and pack kernels. It needs a
C++ compiler.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.setting import NotHere, Setting
from benchmarks.ways._torch import Form, Originals, map_sum, own_network, recorded, way
from benchmarks.ways._way import Way

_COMPILERS = ("c++", "g++", "clang++")


class Compiled:
    """As the loop with hooks, but for what is compiled."""

    def __init__(self, setting: Setting, form: Form) -> None:
        self._plain = own_network(setting, form)
        self._network = own_network(setting, form)
        self._name = setting.layer.name
        self._network.get_submodule(self._name).register_forward_hook(self._swap)
        self._originals = Originals(setting, form)
        self._masks = torch.eye(setting.layer.channels, dtype=torch.bool)[:, None, :, None, None]
        self._compiled = torch.compile(self._hybrid, dynamic=False, options={"freezing": True})
        torch.set_num_threads(form.threads)
        self.begin(slice(0, form.batch))
        self.effect(0)

    @torch.inference_mode()
    def begin(self, rows: slice) -> None:
        """As `Splicer`."""
        self._z1, z2 = self._originals.of(rows)
        self._donor, image = recorded(self._plain, self._plain.get_submodule(self._name), z2)
        self._chosen = torch.zeros_like(self._masks[0])
        # From the same kernels as the hybrids, or their rounding would count as an effect.
        self._image1 = image
        self._image1, _ = self._compiled()

    @torch.inference_mode()
    def effect(self, channel: int) -> NDArray[np.float32]:
        """As `Splicer`."""
        self._chosen = self._masks[channel].clone()
        return self._compiled()[1].numpy()

    def _hybrid(self) -> tuple[Tensor, Tensor]:
        image = self._network(self._z1)
        return image, map_sum(image, self._image1)

    def _swap(self, _: object, __: object, output: Tensor) -> Tensor:
        return torch.where(self._chosen, self._donor, output)


def variants(
    setting: Setting, dtype: torch.dtype, layout: str, cores: int, batches: Sequence[int]
) -> list[Way]:
    """Every batch size, single-threaded side by side; each variant says how long it compiled.

    Raises:
        NotHere: there is no C++ compiler.
    """
    if not any(map(shutil.which, _COMPILERS)):
        raise NotHere(f"needs a C++ compiler; none of {', '.join(_COMPILERS)} is here")
    torch.compiler.reset()
    return [_timed(setting, Form(dtype, layout, batch, cores, 1)) for batch in batches]


def _timed(setting: Setting, form: Form) -> Way:
    started = time.perf_counter()
    made = way(setting, form, Compiled)
    seconds = time.perf_counter() - started
    return replace(made, name=f"{made.name}, compiled in {seconds:.0f} s")
