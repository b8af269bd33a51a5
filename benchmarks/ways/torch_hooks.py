"""PyTorch, eager: one hook records, another one swaps, the whole network runs for every hybrid."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.setting import Setting
from benchmarks.ways._torch import (
    Form,
    Originals,
    forms,
    map_sum,
    own_network,
    recorded,
    way,
)
from benchmarks.ways._way import Way


class Hooks:
    """The loop that a user of PyTorch writes."""

    def __init__(self, setting: Setting, form: Form) -> None:
        self._network = own_network(setting, form)
        self._module = self._network.get_submodule(setting.layer.name)
        self._originals = Originals(setting, form)

    @torch.inference_mode()
    def begin(self, rows: slice) -> None:
        """As `Splicer`."""
        self._z1, z2 = self._originals.of(rows)
        self._donor, _ = recorded(self._network, self._module, z2)
        self._image1 = self._network(self._z1)

    @torch.inference_mode()
    def effect(self, channel: int) -> NDArray[np.float32]:
        """As `Splicer`."""

        def swap(_: object, __: object, output: Tensor) -> Tensor:
            spliced = output.clone()
            spliced[:, channel] = self._donor[:, channel]
            return spliced

        with self._module.register_forward_hook(swap):
            hybrid = self._network(self._z1)
        return map_sum(hybrid, self._image1).numpy()


def variants(
    setting: Setting, dtype: torch.dtype, layout: str, cores: int, batches: Sequence[int]
) -> list[Way]:
    """Every batch size and division of the cores."""
    return [way(setting, form, Hooks) for form in forms(dtype, layout, cores, batches)]
