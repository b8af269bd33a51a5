"""One module: what is known of it, and the intervention that grafts it.

Axis letters: C channels, n channels of the module, H, W pixels.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, overload

import numpy as np

from graftscope.client.arrays import Axes, ByValue, Displayed, Source, told
from graftscope.client.errors import InputError, UsageError
from graftscope.client.interventions import Action, Edit, Intervention, Mask, Swap
from graftscope.client.values._contents import FloatArray, IntArray
from graftscope.client.values._from_client import (
    Code_co,
    FromClient,
    Grafts,
    Hybrids_co,
    Strips_co,
)

Code = TypeVar("Code")


@dataclass(frozen=True, eq=False, repr=False)
class FoundModule(ByValue, Displayed, FromClient[Hybrids_co, Strips_co, Code_co]):
    """A module of a layer: a group of channels that change the same part of the image.

    Args:
        index: Its number among the modules that were found with it.
        channels: The layer's channels that belong to it, ascending. Where it is not known which
            channels the maps were of, their positions among the maps.
        template: (H, W) float64, where it acts; of arbitrary scale.
        confidence: (n,) probability of each channel's being in this module; NaN where not known.
        influence: Mean of the channels' individual influences, in the image's own units; NaN where
            not known, or it has no channels. Grafting all of them at once changes another amount.
        influence_stderr: At most its standard error: the mean of the channels' own, which is
            reached where their errors rise and fall together.
        range_width: Width of the image's range; NaN where not known.
        source: Which model and layer it is of; None where it was found in plain arrays.
        labels: (C,) the labels it was found with, where it is not known which channels the maps
            were of; the layer must then have C channels. Else None.
    """

    index: int
    channels: tuple[int, ...]
    template: Annotated[FloatArray, Axes("H W")]
    confidence: Annotated[FloatArray, Axes("n")]
    influence: float = math.nan
    influence_stderr: float = math.nan
    range_width: float = math.nan
    source: Source | None = None
    labels: Annotated[IntArray | None, Axes("C", optional=True)] = None

    @property
    def size(self) -> int:
        """How many channels it has."""
        return len(self.channels)

    @property
    def influence_share(self) -> float:
        """`influence` as a share of the image range's width."""
        return self.influence / self.range_width

    def __repr__(self) -> str:
        """Tell what it is, in a few words."""
        of = "given maps" if self.source is None else str(self.source)
        facts = [f"{self.size} channel{'' if self.size == 1 else 's'}"]
        if math.isfinite(self.influence_share):
            error = self.influence_stderr / self.range_width
            facts.append(f"influence {self.influence_share:.2%} ± {error:.2%} of the range")
        if np.isfinite(self.confidence).any():
            facts.append(f"confidence {np.nanmean(self.confidence):.2f}")
        return f"<Module {self.index} of {of}: {', '.join(facts)}>"

    def edit(self, action: Action = Swap(), mask: Mask | None = None) -> Edit:
        """Make the edit that assigns the module's channels.

        Args:
            action: What they are assigned; original 2's values by default.
            mask: Where on the activation map; None for everywhere.

        Raises:
            UsageError: If it is not known which layer the module is of.
        """
        return Edit(self._place().layer, self, action=action, mask=mask)

    def intervention(self, action: Action = Swap(), mask: Mask | None = None) -> Intervention:
        """Make the intervention that assigns the module's channels.

        Args:
            action: What they are assigned; original 2's values by default.
            mask: Where on the activation map; None for everywhere.

        Raises:
            UsageError: If it is not known which layer the module is of.
        """
        return Intervention([self.edit(action, mask)])

    @overload
    def hook(self, client: None = None) -> Code_co: ...
    @overload
    def hook(self, client: Grafts[Any, Any, Code]) -> Code: ...
    def hook(self, client: Any = None) -> Any:
        """Write the module as code for PyTorch: its channels, and a hook that swaps them.

        Args:
            client: Whose server to ask where PyTorch computes the layer; None for the client that
                the module came from.

        Returns:
            Python code; of an AsyncClient what gives it when it is awaited.

        Raises:
            UsageError: If there is no client, or it is not known which layer the module is of.
            InputError: If it is not known where PyTorch computes the layer.
        """
        modules = {self.index: self.channels}
        return self._client(client).torch_code(self._model(), self._place().layer, modules)

    def _client(self, given: object) -> Grafts[Any, Any, Any]:
        """The client that was given, or else the one that the module came from.

        Raises:
            InputError: If what was given is none.
            UsageError: If there is none.
        """
        client = self._held.client if given is None else given
        if client is None:
            raise UsageError(
                f"module {self.index} has no client, as it was read from a file or copied to"
                f" another process: give one that has {self._place().model}, as in client=Client()"
            )
        if isinstance(client, type) or not isinstance(client, Grafts):
            raise InputError(f"client {told(client)} is no Client or AsyncClient", field="client")
        return client

    def _model(self) -> str:
        """The model, in the version that the module was found in."""
        place = self._place()
        return f"{place.model}@{place.model_digest}" if place.model_digest else place.model

    def _place(self) -> Source:
        if self.source is None or not self.source.layer:
            raise UsageError(
                f"module {self.index} does not know its layer, as it was found in plain arrays, in"
                " maps of several layers, or read by its job's name: say"
                " client.hybridize(MODEL, LAYER, module.channels)"
            )
        return self.source
