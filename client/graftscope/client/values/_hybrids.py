"""Hybrids: what to make while one waits (section 3.1, Definition 5), and what comes of it.

Axis letters: B pairs, C channels, c colours, H, W pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    Arrays,
    Axes,
    By,
    Checked,
    Drawn,
    Flag,
    Gridded,
    Saved,
    Several,
    Source,
    Whole,
    module_labels,
)
from graftscope.client.errors import UsageError
from graftscope.client.interventions import (
    Edit,
    GivenChannels,
    Intervention,
    ModuleOf,
    channel_numbers,
    require,
)
from graftscope.client.values._contents import model_version
from graftscope.client.values._encoding import ImageEncoding, SavedFiles, WantedEncoding
from graftscope.client.values._execution import Execution, Precision, WantedPrecision
from graftscope.client.values._pairs import (
    FirstPair,
    FixedInputs,
    ImagePairs,
    Images,
    Originals,
    PairCount,
    Pairs,
    PairSeed,
    Shared,
)

_INTERVENTION = "Intervention(...), or Intervention.load(path), which reads a file"

KeepPhoto: TypeAlias = Annotated[
    bool,
    Flag(
        "--keep-photo",
        "",
        "Also give the edited photograph: photograph 1 + (hybrid - original 1). Original 1 is "
        "the photograph's reconstruction; the change from there to the hybrid is added to the "
        "photograph, which keeps everything that the generator cannot draw. The sum is clipped "
        "to the range of images, and a line says how much was clipped. Original 1 must be a "
        "photograph: --image1, or --originals PATH.",
    ),
]
"""Whether photographs are edited too."""


@dataclass(frozen=True, eq=False, repr=False)
class HybridsTask(Checked):
    """Hybrids to make: original 1 with some channels' values from original 2 (Definition 5).

    Or with whatever else an intervention assigns (Definition 2).

    Args:
        model: The model's name.
        layer: A layer's name, or a level's.
        channels: E, the channels to take from original 2; may be empty. Numbers in any iterable,
            such as a list, a set or a range; C booleans, one a channel; or modules, such as
            `modules[0]` or `[modules[0], modules[2]]`, all of whose channels are taken. Either
            these,
        labels: or (C,) module of every channel of the layer, -1 for none, and
        module: which of those modules to take, or
        modules: which of them, all of whose channels are taken.
        intervention: What is assigned, instead of `layer` and all of the above.
        pairs: How many pairs of originals, at least 1.
        seed: Any number in [0, 2^32).
        first: Index of the first pair.
        originals: Where the pairs come from, or the pairs themselves; None for `Encoded`
            where the bundle has encodings, else `Prior`.
        share: Names of inputs of which original 2 takes original 1's value: with a class
            label among them, hybrids are of one class.
        fix: Values of inputs that are the same in every sample, by the input's name: numbers,
            or arrays of the input's shape.
        precision: As of `generate`.
        encoding: As of `generate`.
        keep_photo: Whether `HybridResult.edited` is wanted too: original 1's photograph + (hybrid
            - original 1). Originals 1 must be photographs then, `Images` or `ImagePairs`.
    """

    model: str
    layer: str = ""
    channels: Annotated[GivenChannels | None, By(channel_numbers)] = None
    labels: NDArray[np.integer] | None = None
    module: int | None = None
    modules: Annotated[Iterable[int] | None, Several(Whole())] = None
    intervention: Intervention | None = None
    pairs: PairCount = 8
    seed: PairSeed = 0
    first: FirstPair = 0
    originals: Originals | None = None
    share: Shared = ()
    fix: FixedInputs = None
    precision: WantedPrecision = Precision.FP32
    encoding: WantedEncoding = None
    keep_photo: KeepPhoto = False

    def request(self) -> dict[str, object]:
        """Say it in the contract's fields."""
        meant = self.meant()
        if self.keep_photo and not isinstance(self.originals, Images | ImagePairs):
            raise UsageError(
                "there is no photograph to keep: original 1 must be a photograph, from --image1 "
                "or --originals PATH, in Python from ImagePairs or Images"
            )
        return {
            "model": self.model,
            "intervention": meant,
            "pairs": Pairs.of(self, takes_second=meant.takes_original2),
            "precision": self.precision,
            "encoding": self.encoding,
            "keep_photo": self.keep_photo,
        }

    def meant(self) -> Intervention:
        """Make the intervention: one swap from original 2, unless one was given.

        Raises:
            InputError: If what is given as an intervention is none.
            UsageError: If it is not said in one way, and in one alone.
        """
        given = (self.channels, self.labels, self.module, self.modules)
        if self.intervention is not None:
            require("intervention", self.intervention, (Intervention,), _INTERVENTION)
            if self.layer or any(each is not None for each in given):
                raise UsageError(
                    "an intervention names its layers and channels itself: leave out `layer`,"
                    " `channels`, `labels`, `module` and `modules`"
                )
            return self.intervention
        if not self.layer:
            raise UsageError("say where: either `layer` with channels, or `intervention`")
        match given:
            case (channels, None, None, None) if channels is not None:
                return Intervention([Edit(self.layer, channels)])
            case (None, labels, module, None) if labels is not None and module is not None:
                return Intervention([Edit(self.layer, module=ModuleOf(labels, module))])
            case (None, labels, None, modules) if labels is not None and modules is not None:
                return Intervention([Edit(self.layer, _in_any(labels, modules))])
            case _:
                raise UsageError(
                    "say which channels: either `channels`, or `labels` and `module` (in Python"
                    " also modules=[...] for several)"
                )


def _in_any(labels: NDArray[np.integer], modules: Iterable[int]) -> NDArray[np.bool_]:
    """(C,) which channels are in one of some modules.

    Raises:
        InputError: If there is no such module.
    """
    each = [ModuleOf(labels, module) for module in modules]
    return np.isin(module_labels(labels), [module.index for module in each])


@dataclass(frozen=True, eq=False, repr=False)
class HybridResult(Saved, Drawn, Gridded):
    """Both originals and the hybrid of every pair (section 3.1, Definition 5).

    Args:
        original1: (B, c, H, W) float32 in the generator's own range.
        original2: The same shape.
        hybrid: Original 1 with the chosen channels' values from original 2.
        distinct_images: How many different real images were used; 0 where none were.
        execution: What computed them.
        model: The model's name.
        photograph1: Where photographs are kept, those that original 1 is the reconstruction of, in
            the generator's range; else None.
        edited: `photograph1` + (`hybrid` - `original1`), clipped to that range; else None.
        clipped: The share of the values of `edited` that were clipped.
        image_range: (low, high) of the generator's images; none where a file does not say.
    """

    original1: Annotated[NDArray[np.float32], Axes("B c H W")]
    original2: Annotated[NDArray[np.float32], Axes("B c H W")]
    hybrid: Annotated[NDArray[np.float32], Axes("B c H W")]
    distinct_images: int
    execution: Execution
    model: str = ""
    photograph1: Annotated[NDArray[np.float32] | None, Axes("B c H W", optional=True)] = None
    edited: Annotated[NDArray[np.float32] | None, Axes("B c H W", optional=True)] = None
    clipped: float = 0.0
    image_range: tuple[float, ...] = ()

    def __repr__(self) -> str:
        """Tell what it is, without its numbers."""
        shape, of = self.hybrid.shape, model_version(self.model, self.execution)
        return f"<HybridResult of {of}: {shape[0]} pairs, hybrid {shape}>"

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        return {"distinct_images": 0, "execution": Execution.not_said()}


@dataclass(frozen=True, eq=False, repr=False)
class HybridFiles(SavedFiles, Drawn):
    """Both originals and the hybrid of every pair, as files.

    Args:
        original1: A file for every pair.
        original2: The same.
        hybrid: The same.
        encoding: Their format.
        distinct_images: How many different real images were used; 0 where none were.
        execution: What computed them.
        model: The model's name.
        photograph1: Where photographs are kept, a file for every pair; else None.
        edited: Likewise.
        clipped: Likewise.
    """

    original1: list[bytes]
    original2: list[bytes]
    hybrid: list[bytes]
    encoding: ImageEncoding
    distinct_images: int
    execution: Execution
    model: str = ""
    photograph1: list[bytes] | None = None
    edited: list[bytes] | None = None
    clipped: float = 0.0

    FILES: ClassVar = {
        name: f"-{name}" for name in ("original1", "original2", "hybrid", "photograph1", "edited")
    }
    OPTIONAL: ClassVar = ("photograph1", "edited")
    BESIDE: ClassVar = "hybrids.npz"
    IN_ARRAYS: ClassVar = tuple(FILES)

    def __repr__(self) -> str:
        """Tell what it is, without its bytes."""
        of = model_version(self.model, self.execution)
        return f"<HybridFiles of {of}: {len(self.hybrid)} pairs, {self.encoding}>"

    @classmethod
    def _not_said(cls, arrays: Arrays, source: Source | None) -> dict[str, Any]:
        return {"distinct_images": 0, "execution": Execution.not_said()}
