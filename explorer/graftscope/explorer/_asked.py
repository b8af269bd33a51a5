"""The picture that a page asks for: two originals, and what is grafted from one onto the other.

It must not know how it is made.
"""

from dataclasses import dataclass

from graftscope.client import Blend, Edit, Intervention, Json
from graftscope.client.errors import InputError
from graftscope.explorer._fields import Fields, number, pair, text, whole
from graftscope.explorer._originals import Sample, sample

MOST_STEPS = 64
"""Of one picture."""

WEIGHTS = (-10.0, 10.0)
"""Of a graft: what a strip's strengths are allowed to be."""


@dataclass(frozen=True)
class Step:
    """Channels of a layer that are taken from original 2.

    Args:
        layer: Its name.
        channels: Counted from 0.
        weight: How much of original 2: 0 nothing, 1 all; beyond, it is extrapolated.
    """

    layer: str
    channels: tuple[int, ...]
    weight: float


@dataclass(frozen=True)
class Show:
    """A hybrid, and its originals where they are others than before.

    Args:
        model: Its name.
        originals: Original 1 and original 2.
        steps: What is taken from original 2; later ones must not take the same channels.
    """

    model: str
    originals: tuple[Sample, Sample]
    steps: tuple[Step, ...]

    def intervention(self) -> Intervention | None:
        """Say it in the service's words; None where nothing is taken."""
        edits = [Edit(x.layer, x.channels, action=Blend(x.weight)) for x in self.steps]
        return Intervention(edits) if edits else None


def show_of(fields: Fields) -> Show:
    """Read which picture is asked for.

    Raises:
        InputError: If a field is missing, or is not what it must be.
    """
    steps = fields.get("steps", [])
    if not isinstance(steps, list) or len(steps) > MOST_STEPS:
        raise InputError(f"steps must be a list of at most {MOST_STEPS}", field="steps")
    truncation = number({"truncation": 1, **fields}, "truncation", 0, 1)
    first, second = (sample(each, truncation) for each in pair(fields, "originals"))
    return Show(text(fields, "model"), (first, second), tuple(_step(each) for each in steps))


def _step(value: Json) -> Step:
    if not isinstance(value, dict):
        raise InputError(f"step {value!r} is not a JSON object", field="steps")
    channels = value.get("channels")
    if not isinstance(channels, list):
        raise InputError(f"channels {channels!r} must be a list of numbers", field="channels")
    indices = tuple(whole({"channels": each}, "channels") for each in channels)
    return Step(text(value, "layer"), indices, number(value, "weight", *WEIGHTS))
