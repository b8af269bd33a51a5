"""What the analyses of a module's worth compute, as plain values.

Arrays are named by their sha256. A new field's default is what was computed before there was such a
field, and `version` counts changes of what the same fields give. It must not know protobuf,
sessions or how anything is measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from graftscope.server.jobs._artifact_store import ArrayRef
from graftscope.server.jobs._originals_spec import OriginalsSpec


@dataclass(frozen=True)
class PreprocessingSpec:
    """What is done with an image before a network takes it; fields as in the contract.

    Attributes:
        height, width: sides in pixels; 0 for the image's own.
        low, high: what the ends of the image's range become.
        mean, deviation: subtracted from each colour, and what it is divided by then; empty for
            neither.
        layout: nchw or nhwc.
        bgr: whether blue comes first.
    """

    height: int = 0
    width: int = 0
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    layout: str = "nchw"
    bgr: bool = False


@dataclass(frozen=True)
class NetworkSpec:
    """A network that takes images.

    Attributes:
        name: of one that the server brings, or `encoder`; empty where a file is given.
        sha256: of the file, whoever brings it: what the network computes. Empty for an encoder,
            which is the model's.
        file: its bytes, where they were given.
        preprocessing: None for what the file's metadata says.
        output: empty for the one that the metadata names, else the first.
        classes: empty for those of the metadata.
        title: what results call it.
        attributes: whether an image may have any number of what it scores, whatever the metadata
            says.
    """

    name: str = ""
    sha256: str = ""
    file: ArrayRef | None = None
    preprocessing: PreprocessingSpec | None = None
    output: str = ""
    classes: tuple[str, ...] = ()
    title: str = ""
    attributes: bool = False


@dataclass(frozen=True, kw_only=True)
class WorthSpec:
    """What all of them have in common.

    Attributes:
        model: the bundle's digest.
        originals: where originals come from.
        seed: of the pairs; 0 where they are given.
        first: index of the first pair.
        pairs: how many.
        arithmetic: version of the arithmetic of the engine.
        draws: seed of everything else that is drawn.
        version: of everything else.
        analysis: which it is.
    """

    model: str
    originals: OriginalsSpec
    seed: int
    first: int
    pairs: int
    arithmetic: int
    draws: int = 0
    version: int = 1
    analysis: str

    @property
    def where(self) -> str:
        """The layer, or several with commas, for people."""
        return str(getattr(self, "layer", ""))

    @property
    def arrays(self) -> tuple[ArrayRef, ...]:
        """The stored arrays that it needs."""
        return tuple(_arrays(self))


@dataclass(frozen=True, kw_only=True)
class FaithfulnessSpec(WorthSpec):
    """Whether hybrids of modules look like samples, and like real images.

    Attributes:
        layer: its name.
        labels: (C,) the module of each channel, -1 for none.
        features: where distances are measured.
        data: (N, H, W, C) real images, if any.
        individual: (C,) channels' individual influence, if given.
        templates: (K, h, w) where modules change the image, if given.
        controls: random sets a module, of each kind.
        neighbours: of precision, recall, density and coverage.
    """

    layer: str
    labels: ArrayRef
    features: NetworkSpec
    data: ArrayRef | None = None
    individual: ArrayRef | None = None
    templates: ArrayRef | None = None
    controls: int = 4
    neighbours: int = 5
    analysis: str = "faithfulness"


@dataclass(frozen=True, kw_only=True)
class IndependenceSpec(WorthSpec):
    """Whether modules act by themselves, and where they say.

    Attributes:
        layer: its name.
        labels: (C,) the module of each channel, -1 for none.
        features: where distances are measured.
        templates: (K, h, w) where modules change the image, if given.
        percentile: where templates are cut.
    """

    layer: str
    labels: ArrayRef
    features: NetworkSpec
    templates: ArrayRef | None = None
    percentile: float = 75.0
    analysis: str = "independence"


@dataclass(frozen=True, kw_only=True)
class ReachSpec(WorthSpec):
    """How much of what can be reached few latents reach, and few channels of each layer.

    Attributes:
        layers: names, at least one.
        region: (H, W) the part of the image that is to be changed; None for a score.
        network: whose score is to be changed; None for a region.
        score: name or number of the class or attribute.
        probability: whether its probability among all classes is meant instead of the score.
        units: at most so many latents, and channels.
    """

    layers: tuple[str, ...]
    region: ArrayRef | None = None
    network: NetworkSpec | None = None
    score: str = ""
    probability: bool = False
    units: int = 16
    analysis: str = "reach"

    @property
    def where(self) -> str:
        """As `WorthSpec.where`."""
        return ", ".join(self.layers)


@dataclass(frozen=True, kw_only=True)
class ProbeSpec(WorthSpec):
    """What classifiers make of modules' hybrids.

    Attributes:
        layer: its name.
        labels: (C,) the module of each channel, -1 for none.
        classifiers: at least one.
        controls: random sets of as many channels a module.
    """

    layer: str
    labels: ArrayRef
    classifiers: tuple[NetworkSpec, ...]
    controls: int = 4
    analysis: str = "probe"


def _arrays(value: Any) -> Iterator[ArrayRef]:
    """Every array that a value names, at whatever depth."""
    match value:
        case ArrayRef():
            yield value
        case OriginalsSpec():
            yield from value.arrays.values()
        case tuple():
            for each in value:
                yield from _arrays(each)
        case _ if is_dataclass(value):
            for field in fields(value):
                yield from _arrays(getattr(value, field.name))
