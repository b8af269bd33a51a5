"""What a set of hybrids holds: which pairs, which modules, which mixtures.

Axis letters: C channels, K modules.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import By, Checked, Flag, Several, Whole, module_labels
from graftscope.client.errors import InputError, UsageError
from graftscope.client.models import Model
from graftscope.client.values import (
    AnyNetwork,
    Encoded,
    FixedInputs,
    ImageNetwork,
    Images,
    Originals,
    PairCount,
    PairSeed,
    Prior,
    Shared,
    fixed_values,
)

_IN_SETS = "Which hybrids"
"""The heading of the command line's options."""

Recipe: TypeAlias = dict[str, object]
"""What decides every image of a set, as JSON: equal recipes give equal files."""

FORMAT = 1
"""Of a recipe. It rises when the same recipe would give other files."""


def _network(name: str, value: AnyNetwork) -> ImageNetwork:
    return ImageNetwork.named(value)


def _labels(name: str, value: NDArray[np.generic]) -> NDArray[np.int64]:
    return module_labels(value)


@dataclass(frozen=True, eq=False, repr=False)
class HybridSet(Checked):
    """A labelled set of hybrids (Definition 5): which there are.

    Args:
        model: The model's name.
        layer: A layer's name, or a level's.
        labels: (C,) module of every channel of the layer, -1 for none.
        pairs: How many pairs of originals, at least 1. Pair i is that of `hybridize` with the same
            seed.
        modules: Which modules are taken from original 2, each by itself: an image a module and
            pair. None for every module that has channels.
        mixtures: How many images a pair take every module from another donor: the j-th module from
            original 2 of the j-th pair after this one, and so on round the set.
        with_originals: Whether both originals of every pair are images of the set too.
        seed: Any number in [0, 2^32).
        originals: Where the pairs come from: `Prior`, `Encoded` or `Images`; None for `Encoded`
            where the bundle has encodings, else `Prior`.
        share: Names of inputs of which original 2 takes original 1's value.
        fix: Values of inputs that are the same in every sample.
        classifier: What tells the class of each original: an ONNX file, or a server's network of
            classes by its name. None for the generator's own label, where it takes one.

    Raises:
        InputError: If there is no such module, or it has no channels.
        UsageError: If pairs are given one by one, or mixtures need more of them.
    """

    model: str
    layer: str
    labels: Annotated[NDArray[np.integer], By(_labels)]
    pairs: PairCount = 1000
    modules: Annotated[
        tuple[int, ...] | None,
        Several(Whole()),
        Flag(
            "--module",
            "J,...",
            "Modules that are taken from original 2, each by itself. Default: every one.",
            _IN_SETS,
        ),
    ] = None
    mixtures: Annotated[
        int,
        Whole(0, 1000),
        Flag(
            "--mixtures",
            "M",
            "Also M images a pair in which every module comes from another sample, 0 to 1000.",
            _IN_SETS,
        ),
    ] = 0
    with_originals: Annotated[
        bool,
        Flag("--with-originals", "", "Also both originals of every pair.", _IN_SETS),
    ] = False
    seed: PairSeed = 0
    originals: Originals | None = None
    share: Shared = ()
    fix: FixedInputs = None
    classifier: Annotated[ImageNetwork | None, By(_network)] = None

    def __post_init__(self) -> None:
        """Check the fields, and that there is a donor for every module of a mixture."""
        super().__post_init__()
        if self.originals is not None and not isinstance(self.originals, Prior | Encoded | Images):
            raise UsageError(
                "a set draws its pairs by their seed: originals are Prior(), Encoded() or"
                " Images(...), not pairs that are given one by one"
            )
        filled = self.filled
        for module in self.modules or ():
            if module not in filled:
                allowed = ", ".join(map(str, filled))
                raise InputError(
                    f"module {module} has no channels in these labels; those that do: {allowed}",
                    field="modules",
                )
        if self.mixtures * len(filled) > self.pairs:
            raise UsageError(
                f"{self.mixtures} mixtures of {len(filled)} modules need that many donors,"
                f" {self.mixtures * len(filled)}, and there are {self.pairs} pairs: ask for more"
                " pairs, or fewer mixtures"
            )

    @property
    def filled(self) -> tuple[int, ...]:
        """The modules that have channels."""
        return tuple(np.unique(self.labels[self.labels >= 0]).tolist())

    @property
    def swapped(self) -> tuple[int, ...]:
        """The modules that are taken from original 2, each by itself."""
        return self.filled if self.modules is None else tuple(dict.fromkeys(self.modules))

    @property
    def has_rest(self) -> bool:
        """Whether some channels are in no module: they are always original 1's."""
        return bool((self.labels < 0).any())

    @property
    def images(self) -> int:
        """How many images the set has."""
        originals = 2 if self.with_originals else 0
        return self.pairs * (originals + len(self.swapped) + self.mixtures)

    def recipe(self, model: Model) -> Recipe:
        """Say what decides the images.

        Args:
            model: The generator, in the version that makes them.

        Raises:
            InputError: If the layer is not the model's, or has another number of channels.
        """
        layer = model.layer(self.layer)
        if len(self.labels) != layer.channels:
            raise InputError(
                f"labels of {len(self.labels)} channels do not belong to layer {layer.name!r} of"
                f" {layer.channels}",
                field="labels",
            )
        fix = fixed_values(self.fix or {}, model)
        told = {} if self.classifier is None else {"classifier": _said(self.classifier)}
        return {
            **told,
            "format": FORMAT,
            "model": model.name,
            "model_digest": model.digest,
            "layer": layer.name,
            "labels": _digest(self.labels.astype(np.int64)),
            "pairs": self.pairs,
            "modules": list(self.swapped),
            "mixtures": self.mixtures,
            "with_originals": self.with_originals,
            "seed": self.seed,
            "originals": _told(self.originals),
            "share": list(self.share),
            "fix": {name: _digest(value) for name, value in sorted(fix.items())},
        }


def _said(network: ImageNetwork) -> str:
    """Name a network by its file and how that takes images, or by its name."""
    said = {**network.said(), "file": None, "preprocessing": None, "title": ""}
    stated = "" if network.preprocessing is None else repr(network.preprocessing)
    data = network.file if isinstance(network.file, bytes) else b""
    return hashlib.sha256(f"{sorted(said.items())}{stated}".encode() + data).hexdigest()


def _told(originals: Originals | None) -> str:
    match originals:
        case None:
            return "the model's default"
        case Images():
            return f"images {_digest(originals.images)}"
        case _:
            return type(originals).__name__.lower()


def _digest(array: NDArray[np.generic]) -> str:
    whole = np.ascontiguousarray(array)
    head = f"{whole.dtype.str}{whole.shape}".encode()
    return hashlib.sha256(head + whole.tobytes()).hexdigest()
