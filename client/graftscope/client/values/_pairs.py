"""Pairs of originals: where they come from, which they are, and what they have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graftscope import codec
from graftscope.client.arrays import (
    By,
    ByValue,
    Checked,
    Flag,
    Latents,
    Names,
    Whole,
    by_name,
    finite,
    latents,
    pictures,
    told,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.models import Input, Model

PAIRS = "Pairs of originals"
"""The heading of the command line's options."""

STRATIFIED_PAIRS = 1024
"""Pairs where none are asked for and they are stratified: those come in groups of 32."""


@dataclass(frozen=True)
class Prior:
    """Every latent from the distribution that the bundle states."""


@dataclass(frozen=True)
class Encoded:
    """Latents from a Gaussian with the mean and covariance of the training images' encodings.

    An approximation of what real images would give, which needs no photograph; for bundles with
    an encoder whose encodings were fitted (`graftscope export --data`, or a trained checkpoint).
    """


@dataclass(frozen=True, eq=False, repr=False)
class Images(ByValue):
    """Real images, drawn with replacement and passed through the encoder (section 4).

    In a network from images to images they are the input itself, as of `ImagePairs`.

    Args:
        images: (N, H, W, c) uint8, of the generator's image size.
    """

    images: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Check the images."""
        object.__setattr__(self, "images", pictures("images", self.images))


@dataclass(frozen=True, eq=False, repr=False)
class LatentPairs(ByValue):
    """Exactly these pairs, B of them.

    Args:
        latents1: Original 1's latents, by the name of the generator's input, each (B, ...).
        latents2: Original 2's; None where interventions take nothing from it: it is then original
            1 over again.
    """

    latents1: Latents
    latents2: Latents | None = None

    def __len__(self) -> int:
        """How many pairs there are."""
        return max(map(len, self.latents1.values()), default=0)

    def __post_init__(self) -> None:
        """Keep single precision: generators compute in it, while numpy draws in double."""
        for name in ("latents1", "latents2"):
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else single(name, given))


@dataclass(frozen=True, eq=False, repr=False)
class ImagePairs(ByValue):
    """Exactly these pairs of images, through the encoder.

    Where a model has none, and one of its inputs takes images of the size of its own, they are
    that input.

    Args:
        images1: (B, H, W, c) uint8, of the generator's image size.
        images2: The same shape; None where interventions take nothing from original 2: it is then
            original 1 over again.
    """

    images1: NDArray[np.uint8]
    images2: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.images1)

    def __post_init__(self) -> None:
        """Check the images."""
        for name in ("images1", "images2"):
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else pictures(name, given))


Originals: TypeAlias = Prior | Encoded | Images | LatentPairs | ImagePairs
"""What an `originals` argument takes; None means `Encoded` where the bundle has encodings."""


Fixed: TypeAlias = Mapping[str, ArrayLike]
"""What a `fix` argument takes: a number or an array by the input's name."""

MOST_PAIRS = 10_000_000
"""No job takes more: a server refuses them."""

PairCount: TypeAlias = Annotated[
    int,
    Whole(1, MOST_PAIRS),
    Flag("--pairs", "N", "How many pairs, at least 1. Default: 1000.", PAIRS),
]
PairSeed: TypeAlias = Annotated[
    int,
    Whole(),
    Flag(
        "--seed",
        "S",
        "Decides the pairs, 0 to 4294967295. Pair i of a seed is always the same.",
        PAIRS,
    ),
]
FirstPair: TypeAlias = Annotated[int, Whole()]
Shared: TypeAlias = Annotated[
    Sequence[str],
    Names(),
    Flag(
        "--share",
        "label,noise",
        "Inputs for which original 2 takes original 1's value, with commas: name the class "
        "label to keep both originals in one class.",
        PAIRS,
    ),
]
FixedInputs: TypeAlias = Annotated[
    Fixed | None,
    By(by_name),
    Flag(
        "--fix",
        "NAME=VALUE",
        "An input that is the same in every sample; may be repeated. VALUE: a number, or an "
        "array in FILE.npy or FILE.npz. label=3 gives all samples class 3, also where labels "
        "are one-hot.",
        PAIRS,
        repeated=True,
    ),
]
Stratified: TypeAlias = Annotated[
    bool,
    Flag(
        "--stratified",
        "",
        "Spread every 32 pairs evenly over each dimension of the latents. Each single pair "
        "is distributed as before, but the same error needs fewer: about 0.4 times as many for "
        "individual influences of the VAE that ships. Use it for latents from the prior or from "
        "encodings; not for real images. --pairs must be a multiple of 32 (default: "
        f"{STRATIFIED_PAIRS}), and standard errors are those of means over 32 pairs: ask for 256 "
        "pairs or more where they matter.",
        PAIRS,
    ),
]


@dataclass(frozen=True, eq=False)
class Pairs(Checked):
    """Which pairs of originals: the contract's `Pairs`.

    Args:
        count: How many, at least 1; as many as `originals` holds, where it holds pairs.
        seed: Any number in [0, 2^32): decides the pairs; 0 where `originals` holds them.
        first: Index of the first pair; likewise.
        originals: Where they come from; None for the model's default.
        share: Names of inputs of which original 2 takes original 1's value.
        fix: Values of inputs that are the same in every sample.
        stratified: Whether every 32 pairs are spread evenly over each dimension of the latents.
    """

    count: PairCount
    seed: PairSeed = 0
    first: FirstPair = 0
    originals: Originals | None = None
    share: Shared = ()
    fix: FixedInputs = None
    stratified: Stratified = False

    def __post_init__(self) -> None:
        """Check the fields, and take the number of pairs that are given."""
        _require_known(self.originals)
        if isinstance(self.originals, LatentPairs | ImagePairs):
            for name, value in (("count", len(self.originals)), ("seed", 0), ("first", 0)):
                object.__setattr__(self, name, value)
        else:
            super().__post_init__()

    @classmethod
    def of(cls, task: object, *, takes_second: bool = True, **said: object) -> Self:
        """Gather what a request says of its pairs under the same names.

        Args:
            task: The request; its `pairs` is their number.
            takes_second: Whether values are taken from original 2.
            **said: What it says under other names.

        Raises:
            UsageError: If pairs lack an original 2 from which values are taken, or are given and
                counted or drawn besides.
        """
        _refuse_beside_given(task, tuple(said))
        found = {
            field.name: getattr(task, field.name)
            for field in fields(cls)
            if hasattr(task, field.name)
        }
        found["originals"] = _both(found.get("originals"), takes_second)
        return cls(**{"count": getattr(task, "pairs", None), **found, **said})


def lacks_second(originals: Originals | None) -> bool:
    """Tell whether originals are pairs that are given without an original 2."""
    match originals:
        case LatentPairs():
            return originals.latents2 is None
        case ImagePairs():
            return originals.images2 is None
    return False


def _refuse_beside_given(task: Any, other: tuple[str, ...]) -> None:
    """Refuse what says which pairs to draw where they are given one by one.

    Args:
        task: The request.
        other: Names of its fields that say something else than which pairs.
    """
    given = getattr(task, "originals", None)
    if not isinstance(given, LatentPairs | ImagePairs):
        return
    for each in fields(task):
        if each.name not in ("pairs", "count", "seed", "pairs_seed", "first") or each.name in other:
            continue
        allowed = {each.default} | ({len(given)} if each.name in ("pairs", "count") else set())
        value = getattr(task, each.name)
        if value not in allowed:
            raise UsageError(
                f"{type(given).__name__} already gives all the pairs, {len(given)} of them: leave "
                f"out `{each.name}`, which is {value}"
            )


def _both(originals: Originals | None, takes_second: bool) -> Originals | None:
    """Give pairs without an original 2 original 1 in its place, where nothing is taken from it."""
    if not lacks_second(originals):
        return originals
    if takes_second:
        raise UsageError(
            f"{type(originals).__name__} holds original 1 alone, and values are taken from "
            "original 2: give both, or an intervention that brings its own donors"
        )
    match originals:
        case LatentPairs():
            return LatentPairs(originals.latents1, originals.latents1)
        case ImagePairs():
            return ImagePairs(originals.images1, originals.images1)
    return originals


def fixed(task: Any, model: Model) -> Any:
    """Give a request's fixed values the types and shapes of a model's inputs."""
    return replace(task, fix=fixed_values(task.fix, model))


def single(name: str, values: Latents) -> Latents:
    """Check latents, and bring those of double precision to single."""
    return {
        key: array.astype(np.float32) if array.dtype == np.float64 else array
        for key, array in latents(name, values).items()
    }


def _require_known(originals: object) -> None:
    """Refuse a name, which would otherwise pass for the prior."""
    kinds = (Prior, Encoded, Images, LatentPairs, ImagePairs)
    if originals is not None and not isinstance(originals, kinds):
        raise InputError(
            f"originals {told(originals)} are of no known kind; there are: "
            + ", ".join(f"{kind.__name__}(...)" for kind in kinds),
            field="originals",
        )


def fixed_values(fix: Fixed, model: Model) -> dict[str, NDArray[np.generic]]:
    """Give values the type and the shape of a model's inputs.

    Args:
        fix: A number, which fills the whole input, or is the class of a one-hot label; or an
            array of the input's shape with or without an axis of one sample in front; by the
            input's name.
        model: Which generator.

    Returns:
        (1, ...) for each input that was named.

    Raises:
        InputError: If the model has no such input, or a value does not fit it.
    """
    inputs = {each.name: each for each in model.inputs}
    for name in fix:
        if name not in inputs:
            raise InputError(
                f"input {name!r} is not in model {model.name!r}; it has: {', '.join(inputs)}",
                field="fix",
            )
    return {name: _value(inputs[name], value) for name, value in fix.items()}


def _value(wanted: Input, value: ArrayLike) -> NDArray[np.generic]:
    try:
        array = finite(f"fix {wanted.name!r}", np.asarray(value))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"fix {wanted.name!r} {told(value)} is not an array", field="fix"
        ) from None
    if wanted.distribution == "one_hot" and not array.ndim:
        return _class(wanted, array)
    shape = (1, *wanted.shape)
    if array.ndim and array.shape not in (shape, wanted.shape):
        raise InputError(
            f"fix {wanted.name!r} has shape {array.shape}; input {wanted.name!r} takes a number, or"
            f" an array of shape {wanted.shape}",
            field="fix",
        )
    return np.ascontiguousarray(np.broadcast_to(_typed(wanted, array), shape))


def _class(wanted: Input, label: NDArray[np.generic]) -> NDArray[np.generic]:
    """Write a class as a one-hot label."""
    if label not in range(wanted.classes):
        raise InputError(
            f"fix {wanted.name!r} is {label}; input {wanted.name!r} takes a class from 0 to"
            f" {wanted.classes - 1}, or an array of shape {wanted.shape}",
            field="fix",
        )
    hot = codec.one_hot(label.reshape(1).astype(np.int64), wanted.classes, wanted.shape)
    return _typed(wanted, hot)


def _typed(wanted: Input, array: NDArray[np.generic]) -> NDArray[np.generic]:
    dtype = codec.DATATYPES.get(wanted.datatype)
    number = np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_
    if dtype is None or not number or np.iscomplexobj(array):
        raise InputError(
            f"fix {wanted.name!r} of type {array.dtype}: input {wanted.name!r} is of type"
            f" {wanted.datatype}",
            field="fix",
        )
    with np.errstate(all="ignore"):  # what does not fit is found by comparison
        typed = array.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(typed, array):
        raise InputError(
            f"fix {wanted.name!r}: input {wanted.name!r} takes whole numbers of type"
            f" {wanted.datatype}, and {array.reshape(-1)[0]} is none",
            field="fix",
        )
    return finite(f"fix {wanted.name!r}", typed)


def told_pairs(pairs_of: NDArray[np.integer], each: str = "channel") -> str:
    """Say how many pairs maps have had: ``1,000 pairs``, or ``128 to 320 pairs a channel``.

    Args:
        pairs_of: (E,) of each map, at least one.
        each: What each map is of.
    """
    fewest, most = int(pairs_of.min()), int(pairs_of.max())
    if fewest < most:
        return f"{fewest:,} to {most:,} pairs a {each}"
    return "1 pair" if most == 1 else f"{most:,} pairs"
