"""What a page is told of a search for modules: how far it is, and what was found so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.client import InfluenceResult, Job, JobState, Json, Model
from graftscope.client.values import SURE, AnyModules, LayerModules, PartialMaps
from graftscope.explorer._channels import levels
from graftscope.explorer._told import Answer, Picture

NO_MODULE = -1
"""The label of a channel in no module."""


@dataclass
class Told:
    """What a page was told of a search so far.

    Args:
        pairs: Those that its modules were found in.
        members: Of each module, in the order of the page.
        map_pairs: Those that the maps of its channels were found in.
    """

    pairs: int = 0
    members: Sequence[frozenset[int]] = ()
    map_pairs: int = 0

    def order(self, modules: LayerModules | AnyModules) -> list[int]:
        """Put modules in the order of those that they share most channels with.

        Those of a search that goes on are found anew each time, in an order of their own. The last
        ones stay in it: by that order the command line knows them.
        """
        free = list(range(modules.k))
        order = []
        for members in self.members:
            best = max(free, key=lambda at: len(members.intersection(_members(modules, at))))
            free.remove(best)
            order.append(best)
        return order + free

    def note(self, modules: LayerModules | AnyModules, pairs: int, order: Sequence[int]) -> None:
        """Take note of what the page is about to be told."""
        self.pairs, self.members = pairs, [_members(modules, at) for at in order]


def progress(job: Job) -> dict[str, Json]:
    """Say how far a search is."""
    now = job.progress
    return {
        "job": {
            "name": job.name,
            "state": str(now.state),
            "done": job.done,
            "pairs": job.pairs_done,
            "pairs_wanted": job.pairs,
            "eta_s": finite_or_none(now.eta_s),
            "jobs_ahead": now.jobs_ahead,
        }
    }


def found(
    job: Job,
    modules: LayerModules | AnyModules,
    influence: PartialMaps | InfluenceResult,
    model: Model,
    pairs: int,
    order: Sequence[int],
) -> Answer:
    """Say what was found.

    Args:
        job: The search.
        modules: Those of the layer.
        influence: Of its channels.
        model: The layer's.
        pairs: Those that the modules were found in.
        order: Which module the page shows first, second and so on.
    """
    low, high = model.image.range
    each: list[Json] = [_module(modules, index, influence, high - low) for index in order]
    none: list[Json] = list(np.flatnonzero(modules.labels == NO_MODULE).tolist())
    fields: dict[str, Json] = {
        "modules": {
            "k": modules.k,
            "pairs": pairs,
            "final": job.progress.state is JobState.DONE,
            "each": each,
            "none": none,
            "confidence_unknown": modules.confidence_unknown,
            "probabilities": [
                finite_or_none(round(value, 4)) for value in modules.confidence.tolist()
            ],
            "between": between(modules, order),
        },
    }
    pictures = [
        Picture(f"template{at}", _levels(modules.templates[index]))
        for at, index in enumerate(order)
    ]
    return Answer(fields, pictures)


def together(job: Job, parts: Sequence[Answer]) -> Answer:
    """Say how far a search is, and whatever is new, in one answer."""
    fields = {name: value for part in parts for name, value in part.fields.items()}
    return Answer({**progress(job), **fields}, [each for part in parts for each in part.pictures])


def _module(
    modules: LayerModules | AnyModules,
    index: int,
    influence: PartialMaps | InfluenceResult,
    width: float,
) -> Json:
    """What the page says of one module; influences are shares of the image range."""
    members = sorted(_members(modules, index))
    sure = modules.confidence[members]
    known = bool(np.isfinite(sure).any())
    return {
        "channels": list[Json](members),
        "influence": _mean(influence.individual[members] / width),
        "influence_error": _mean(influence.individual_stderr[members] / width),
        "confidence": finite_or_none(float(np.nanmedian(sure))) if known else None,
        "sure": int(np.sum(sure >= SURE)) if known else None,
    }


def between(modules: LayerModules | AnyModules, order: Sequence[int]) -> list[Json]:
    """Channels that other pairs may well put into another module, in the page's numbers."""
    places = {index: at for at, index in enumerate(order)}
    return [
        {
            "channel": each.channel,
            "modules": [places[index] for index in each.modules],
            "probabilities": [round(value, 4) for value in each.probabilities],
        }
        for each in modules.between()
    ]


def _members(modules: LayerModules | AnyModules, index: int) -> frozenset[int]:
    return frozenset(np.flatnonzero(modules.labels == index).tolist())


def _mean(values: NDArray[np.floating]) -> Json:
    return finite_or_none(float(values.mean())) if values.size else None


def finite_or_none(value: float | None) -> Json:
    """A number as JSON has it."""
    return value if value is not None and math.isfinite(value) else None


def _levels(template: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A template from 0 to its own highest value."""
    highest = float(template.max(initial=0.0))
    return levels(template / highest if highest > 0 else np.zeros_like(template))
