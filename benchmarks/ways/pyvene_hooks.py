"""pyvene as its documentation says for convolutions: a function as the intervention.

    pv.IntervenableModel({"component": "deconv1.output", "intervention": function}, model)

Its primitives (VanillaIntervention) know only registered kinds of models. The source is given once
as a recorded activation, or as inputs, which are run again for every hybrid; the faster one counts.
"""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.setting import NotHere, Setting
from benchmarks.ways._torch import Form, Originals, forms, map_sum, own_network, way
from benchmarks.ways._torch import recorded as record
from benchmarks.ways._way import Way


class Pyvene:
    """A loop over channels around an intervenable model."""

    def __init__(self, setting: Setting, form: Form, *, recorded: bool = True) -> None:
        with redirect_stdout(sys.stderr):  # It says on import what else could be installed.
            import pyvene

        self._network = own_network(setting, form)
        self._module = self._network.get_submodule(setting.layer.name)
        # The library asks every model for one.
        self._network.config = None  # type: ignore[assignment]
        self._originals = Originals(setting, form)
        self._recorded = recorded
        self._channel = 0
        how = {"component": f"{setting.layer.name}.output", "intervention": self._function()}
        self._intervenable = pyvene.IntervenableModel(how, model=self._network)

    @torch.inference_mode()
    def begin(self, rows: slice) -> None:
        """As `Splicer`."""
        self._z1, z2 = self._originals.of(rows)
        donor, _ = record(self._network, self._module, z2)
        self._source = (
            {"source_representations": donor} if self._recorded else {"sources": [{"z": z2}]}
        )
        self._image1 = self._network(self._z1)

    @torch.inference_mode()
    def effect(self, channel: int) -> NDArray[np.float32]:
        """As `Splicer`."""
        self._channel = channel
        _, hybrid = self._intervenable(base={"z": self._z1}, **self._source)
        return map_sum(hybrid, self._image1).numpy()

    def _function(self) -> object:
        # The library takes a plain function, not a method.
        def swap(base: Tensor, source: Tensor) -> Tensor:
            spliced = base.clone()
            spliced[:, self._channel] = source[:, self._channel]
            return spliced

        return swap


def variants(
    setting: Setting, dtype: torch.dtype, layout: str, cores: int, batches: Sequence[int]
) -> list[Way]:
    """Every batch size and division of the cores, with the source recorded and run again.

    Raises:
        NotHere: pyvene is not installed.
    """
    if find_spec("pyvene") is None:
        raise NotHere("not installed: pip install '.[bench]'")
    return [
        way(setting, form, partial(Pyvene, recorded=recorded))
        for form in forms(dtype, layout, cores, batches)
        for recorded in (True, False)
    ]
