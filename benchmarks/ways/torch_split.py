"""PyTorch, eager, the network split by hand: only what follows the layer runs for a hybrid.

That takes a network that is a plain chain of modules, and somebody who takes it apart.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.setting import Setting
from benchmarks.ways._torch import Form, Originals, forms, map_sum, own_network, way
from benchmarks.ways._way import Way


class Split:
    """The stages up to the layer, and those after it."""

    def __init__(self, setting: Setting, form: Form) -> None:
        stages = list(own_network(setting, form).named_children())
        at = [name for name, _ in stages].index(setting.layer.name) + 1
        parts = (stages[:at], stages[at:])
        self._above, self._below = (nn.Sequential(*(x for _, x in part)) for part in parts)
        self._originals = Originals(setting, form)

    @torch.inference_mode()
    def begin(self, rows: slice) -> None:
        """As `Splicer`."""
        self._kept, self._donor = map(self._above, self._originals.of(rows))
        self._image1 = self._below(self._kept)

    @torch.inference_mode()
    def effect(self, channel: int) -> NDArray[np.float32]:
        """As `Splicer`."""
        spliced = self._kept.clone()
        spliced[:, channel] = self._donor[:, channel]
        return map_sum(self._below(spliced), self._image1).numpy()


def variants(
    setting: Setting, dtype: torch.dtype, layout: str, cores: int, batches: Sequence[int]
) -> list[Way]:
    """Every batch size and division of the cores."""
    return [way(setting, form, Split) for form in forms(dtype, layout, cores, batches)]
