"""What is compared with samples: hybrids of modules and of random sets, and mixtures of pixels.

It must not know how anything is measured.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import as_many_channels, as_much_influence
from graftscope.server.worth._making import Images, Making
from graftscope.server.worth._modules import NO_MODULE, Modules
from graftscope.v1 import bundle_pb2

MODULE, COUNT, INFLUENCE, LAYER = "module", "count", "influence", "layer"
FLOOR, PASTED, BLENDED = "floor", "pasted", "blended"

CONTROLS = (COUNT, INFLUENCE)
"""Random sets of as many channels as a module, and of as much influence."""

# Of a template's highest value: what it shows is where it is at least half as high.
_SHOWN = 0.5


@dataclass(frozen=True, eq=False)
class ComparedSet:
    """One set of images.

    Attributes:
        kind: module, count, influence, layer, floor, pasted or blended.
        module: which it is, or is a control or a ceiling of; -1 for none.
        channels: (C,) those that are swapped; None where pixels are mixed.
        share: (H, W) of original 2 in each pixel, 0 to 1, where pixels are mixed.
    """

    kind: str
    module: int = NO_MODULE
    channels: NDArray[np.bool_] | None = None
    share: NDArray[np.float32] | None = None

    @property
    def size(self) -> int:
        """How many channels are swapped; 0 where pixels are mixed."""
        return 0 if self.channels is None else int(self.channels.sum())


@dataclass(frozen=True, eq=False)
class Beside:
    """What modules are compared with, beside samples.

    Attributes:
        controls: random sets of each kind that every module gets.
        individual: (C,) channels' individual influence; None for no sets of as much influence.
        templates: (K, h, w) where each module changes the image; None for no pasting there.
        seed: of the random sets.
    """

    controls: int
    individual: NDArray[np.float64] | None = None
    templates: NDArray[np.float64] | None = None
    seed: int = 0


def compared_sets(
    modules: Modules, beside: Beside, image_size: tuple[int, int]
) -> list[ComparedSet]:
    """The modules, then their controls of each kind, the whole layer, the floor and the ceilings.

    Args:
        modules: of the layer.
        beside: what they are compared with.
        image_size: (H, W).
    """
    everything = np.ones(len(modules.labels), dtype=np.bool_)
    right = np.zeros(image_size, dtype=np.float32)
    right[:, image_size[1] // 2 :] = 1
    named = list(zip(modules.indices, modules.sets, strict=True))
    return [
        *(ComparedSet(MODULE, index, channels) for index, channels in named),
        *(each for kind in CONTROLS for each in _controls(kind, named, beside)),
        ComparedSet(LAYER, channels=everything),
        ComparedSet(FLOOR, share=np.zeros_like(right)),
        ComparedSet(PASTED, share=right),
        *_pasted(modules, beside, image_size),
        ComparedSet(BLENDED, share=np.full_like(right, 0.5)),
    ]


def places(sets: Sequence[ComparedSet], kind: str, module: int | None = None) -> list[int]:
    """Where sets of a kind are; or those of them that belong to a module."""
    return [
        place
        for place, each in enumerate(sets)
        if each.kind == kind and module in (None, each.module)
    ]


def _controls(
    kind: str, named: list[tuple[int, NDArray[np.bool_]]], beside: Beside
) -> Iterator[ComparedSet]:
    """Random sets of a kind, those of one module after another."""
    for index, channels in named:
        random = np.random.default_rng([beside.seed, CONTROLS.index(kind), index])
        if kind == COUNT:
            size = int(channels.sum())
            drawn = as_many_channels(len(channels), size, beside.controls, random)
        elif beside.individual is not None and (of := beside.individual[channels].sum()) > 0:
            drawn = as_much_influence(beside.individual, float(of), beside.controls, random)
        else:
            continue
        yield from (ComparedSet(kind, index, members) for members in drawn)


def _pasted(modules: Modules, beside: Beside, image_size: tuple[int, int]) -> Iterator[ComparedSet]:
    """Original 2 where a module's template shows it, in original 1."""
    if beside.templates is None:
        return
    for index in modules.indices:
        template = beside.templates[index]
        shown = (template > 0) & (template >= _SHOWN * template.max())
        rows, columns = (
            np.arange(size) * coarse // size
            for size, coarse in zip(image_size, template.shape, strict=True)
        )
        yield ComparedSet(PASTED, index, share=shown[np.ix_(rows, columns)].astype(np.float32))


def images_of(
    making: Making, layer: bundle_pb2.Layer, pairs: range, sets: Sequence[ComparedSet]
) -> Iterator[tuple[int, Images]]:
    """The images of some pairs of every set, with the set's place.

    Args:
        making: makes them.
        layer: where channels are swapped.
        pairs: which pairs.
        sets: in any order.
    """
    swapped = [place for place, each in enumerate(sets) if each.channels is not None]
    channels = np.stack([x.channels for x in sets if x.channels is not None])
    yield from zip(swapped, making.hybrids(layer, pairs, channels), strict=True)
    first, second = making.originals(pairs)
    for place, each in enumerate(sets):
        if each.share is not None:
            # Where all is of one original it is that, to the last bit.
            mixed = first * (1 - each.share) + second * each.share
            yield place, np.where(each.share == 0, first, mixed)
