"""The steps of a hybrid: upstream for both originals, the splice, downstream.

A hybrid takes every input of the generator twice, `z1` and `z2`, and `channels` (B, C), boolean:
what each pair takes from original 2. What is carried comes from original 1, so some inputs of
original 2 may be of no use; Triton refuses an ensemble's input that no step takes, so the splice
takes those and does not read them.

It gives the hybrid alone. An ensemble of several outputs fails in Triton with an "unexpected
deadlock" where a request names some of them (triton-inference-server/server, issue 7482);
originals come from the generator's own model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from graftscope.exporter.triton._config import ModelConfig, Step, Tensor
from graftscope.graph import ORIGINAL1, ORIGINAL2, OWN, SETS, SPLICED

CHANNELS: Final = "channels"
"""The input of a hybrid that tells which channels come from original 2."""
HYBRID: Final = "hybrid"
"""A hybrid's output."""


@dataclass(frozen=True)
class Steps:
    """What an ensemble runs.

    Attributes:
        tensor: The layer's activation.
        splice: The name of the model that splices.
        above: The upstream half; None where the layer is an input.
        below: The downstream half, or the whole generator.
        inputs: The generator's.
    """

    tensor: str
    splice: str
    above: ModelConfig | None
    below: ModelConfig
    inputs: Sequence[Tensor]

    @property
    def activation(self) -> Tensor:
        """The layer's activation."""
        return next(each for each in self.below.inputs if each.name == self.tensor)

    @property
    def latents(self) -> tuple[Tensor, ...]:
        """Every input of the generator, for original 1 and then for original 2."""
        return tuple(
            replace(each, name=f"{each.name}{which}") for which in (1, 2) for each in self.inputs
        )

    @property
    def unread(self) -> tuple[Tensor, ...]:
        """Those of them that no half reads."""
        steps = (*self._upstream, self._splice(()), self._downstream)
        read = {name for step in steps for name in step.inputs.values()}
        return tuple(each for each in self.latents if each.name not in read)

    @property
    def image(self) -> Tensor:
        """The hybrid."""
        (image,) = self.below.outputs
        return replace(image, name=HYBRID)

    @property
    def all(self) -> tuple[Step, ...]:
        """In an order in which none needs what a later one gives."""
        unread = tuple(each.name for each in self.unread)
        return (*self._upstream, self._splice(unread), self._downstream)

    @property
    def _upstream(self) -> tuple[Step, ...]:
        if self.above is None:
            return ()
        first, second = (
            {each.name: f"{each.name}{which}" for each in self.above.inputs} for which in (1, 2)
        )
        made = {each.name: _carried(each.name) for each in self.above.outputs}
        return (
            Step(self.above.name, first, made | {self.tensor: ORIGINAL1}),
            Step(self.above.name, second, {self.tensor: ORIGINAL2}),
        )

    def _splice(self, unread: tuple[str, ...]) -> Step:
        given = {ORIGINAL1: ORIGINAL1, ORIGINAL2: ORIGINAL2}
        if self.above is None:
            given = {ORIGINAL1: f"{self.tensor}1", ORIGINAL2: f"{self.tensor}2"}
        taken = given | {SETS: CHANNELS} | {name: name for name in unread}
        return Step(self.splice, taken, {SPLICED: SPLICED})

    @property
    def _downstream(self) -> Step:
        own = {each.name for each in self.inputs}
        given = {
            each.name: f"{each.name}1" if each.name in own else _carried(each.name)
            for each in self.below.inputs
        }
        (image,) = self.below.outputs
        return Step(self.below.name, given | {self.tensor: SPLICED}, {image.name: HYBRID})


def _carried(name: str) -> str:
    """What the ensemble calls a tensor of original 1 that crosses the cut."""
    return f"{OWN}carried.{name}"
