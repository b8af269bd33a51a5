"""What can be asked for by name: a model, either half of it at a layer, hybrids at a layer.

    NAME                     latents to the image
    NAME.LAYER.upstream      latents to the activation and what is carried beside it
    NAME.LAYER.downstream    these to the image
    NAME.LAYER.hybrid        the latents of two originals and sets of channels to the hybrid

LAYER is a layer's name or its level's. Names of models may hold dots: the longest one that fits is
meant. It must not know messages.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from graftscope.server.engine import (
    FREE,
    Catalogue,
    Generator,
    Tensor,
    halves,
    image_of,
    inputs_of,
    left_out,
)
from graftscope.server.errors import InvalidInput, NotFound
from graftscope.v1 import bundle_pb2

CHANNELS = "channels"
"""The input that says which channels a hybrid takes from original 2."""

HYBRID = "hybrid"
ORIGINALS = ("original1", "original2")
"""A hybrid's outputs."""


class Part(Enum):
    """What of a model."""

    WHOLE = ""
    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"
    HYBRID = "hybrid"


@dataclass(frozen=True)
class Signature:
    """What is taken and given.

    Attributes:
        inputs: in the order in which they are told.
        outputs: likewise.
        optional: names of inputs that may be left out.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Named:
    """A model, or a part of it.

    Attributes:
        name: as it was asked for.
        generator: the model.
        part: what of it.
    """

    name: str
    generator: Generator
    part: Part = Part.WHOLE
    cut: bundle_pb2.Layer | None = None

    @property
    def layer(self) -> bundle_pb2.Layer:
        """Where it is cut; of a part alone."""
        assert self.cut is not None
        return self.cut

    @property
    def version(self) -> str:
        """The bundle's digest."""
        return self.generator.manifest.digest

    def signature(self) -> Signature:
        """What it takes and gives; graphs are read for it, once."""
        return _SIGNATURES[self.part](self)


def find(catalogue: Catalogue, name: str, version: str) -> Named:
    """What a name stands for.

    Args:
        catalogue: the models.
        name: of one of the four forms.
        version: the bundle's digest; empty for whichever is served.

    Raises:
        NotFound: there is no such model, it has no such layer, or it is of another version.
    """
    named = _find(catalogue, name)
    if version and version != named.version:
        raise NotFound(f"model {name!r} has version {named.version} here, not {version!r}")
    return named


def _find(catalogue: Catalogue, name: str) -> Named:
    if name in catalogue.generators:
        return Named(name, catalogue.generators[name])
    rest, _, word = name.rpartition(".")
    words = {each.value: each for each in Part if each is not Part.WHOLE}
    why = ""
    for generator, layer in _divided(catalogue, rest) if word in words else ():
        try:
            return Named(name, generator, words[word], generator.layer(layer))
        except InvalidInput as error:
            why = why or str(error)
    known = ", ".join(sorted(catalogue.generators)) or "none"
    raise NotFound(
        why
        or f"model {name!r} is not served here; there are NAME, NAME.LAYER.upstream, "
        f"NAME.LAYER.downstream and NAME.LAYER.hybrid, where NAME is one of: {known}"
    )


def _divided(catalogue: Catalogue, text: str) -> Iterator[tuple[Generator, str]]:
    """Models with whose names a text begins, and what follows the dot; the longest name first."""
    for name in sorted(catalogue.generators, key=len, reverse=True):
        if text.startswith(f"{name}."):
            yield catalogue.generators[name], text[len(name) + 1 :]


def _whole(named: Named) -> Signature:
    generator = named.generator
    return Signature(inputs_of(generator), (image_of(generator),), left_out(generator))


def _upstream(named: Named) -> Signature:
    found = halves(named.generator, named.layer)
    return Signature(found.latents, found.crossing, left_out(named.generator))


def _downstream(named: Named) -> Signature:
    found = halves(named.generator, named.layer)
    return Signature(found.crossing, (found.image,))


def _hybrid(named: Named) -> Signature:
    generator = named.generator
    latents = [
        Tensor(f"{each.name}{which}", each.dtype, each.shape)
        for which in (1, 2)
        for each in inputs_of(generator)
    ]
    channels = Tensor(CHANNELS, np.dtype(np.bool_), (FREE, named.layer.channels))
    image = (FREE, *generator.image_shape)
    return Signature(
        (*latents, channels),
        tuple(Tensor(x, np.dtype(np.float32), image) for x in (HYBRID, *ORIGINALS)),
        frozenset(f"{name}{which}" for name in left_out(generator) for which in (1, 2)),
    )


_SIGNATURES: dict[Part, Callable[[Named], Signature]] = {
    Part.WHOLE: _whole,
    Part.UPSTREAM: _upstream,
    Part.DOWNSTREAM: _downstream,
    Part.HYBRID: _hybrid,
}
