"""What an edit does to the channels that it assigns: swap, constant, scale, add, blend.

Axis letters: C channels, N tokens, H, W places of the activation map, c colours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graftscope.client.arrays import (
    ByValue,
    Latents,
    finite,
    finite_number,
    frozen,
    latents,
    told,
)
from graftscope.client.errors import InputError

_MOST_AXES = 3
_COLOURS = (1, 3, 4)


@dataclass(frozen=True)
class Original2:
    """The donor is original 2 of the pair, as in a hybrid (Definition 5)."""


@dataclass(frozen=True, eq=False, repr=False)
class StoredLatents(ByValue):
    """The donor is one sample that these latents make, the same for every pair.

    Args:
        latents: One sample: (1, ...) for every input, by the input's name. Inputs that are noise
            or fixed may be left out.

    Raises:
        InputError: If there is none, or one is not of one sample, or not finite.
    """

    latents: Latents

    def __post_init__(self) -> None:
        """Check the latents and keep a copy of them."""
        held = latents("the donor", _arrays(self.latents))
        for name, array in held.items():
            if len(array) != 1:
                raise InputError(
                    f"the donor {name!r} of shape {array.shape} holds {len(array)} samples: it must"
                    " be one, (1, ...)"
                )
        kept = {name: frozen(array, _single(array.dtype)) for name, array in held.items()}
        object.__setattr__(self, "latents", MappingProxyType(kept))


@dataclass(frozen=True, eq=False, repr=False)
class ImageDonor(ByValue):
    """The donor is one image, through the model's encoder, the same for every pair.

    Args:
        image: (H, W, c) uint8 with 1, 3 or 4 colours, or (1, H, W, c). `Intervention.fitted` cuts
            and resizes it to the generator's image size, which the server insists on.

    Raises:
        InputError: If it is not like that.
    """

    image: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Check the image and keep a copy of it, (H, W, c)."""
        image = np.asarray(self.image)
        single = image[0] if image.ndim == 4 and len(image) == 1 else image
        shaped = single.ndim == 3 and single.size > 0 and single.shape[-1] in _COLOURS
        if not shaped or image.dtype != np.uint8:
            raise InputError(
                f"donor image of shape {image.shape} and type {image.dtype}: it must be one image,"
                " (H, W, c) uint8 with 1, 3 or 4 colours"
            )
        object.__setattr__(self, "image", frozen(single, np.uint8))

    @property
    def sent(self) -> NDArray[np.uint8]:
        """(1, H, W, c), as the contract has it."""
        return self.image[None]


Donor: TypeAlias = Original2 | StoredLatents | ImageDonor
"""Whose values are taken: those of a run without any intervention."""


@dataclass(frozen=True)
class Swap:
    """Take the donor's values (Definition 5).

    Args:
        donor: Whose.
    """

    donor: Donor = Original2()

    def __post_init__(self) -> None:
        """Check the donor's kind."""
        _require_donor(self.donor)


@dataclass(frozen=True)
class PriorMean:
    """Each channel's mean over places and over samples of the prior."""


PRIOR_MEAN = PriorMean()
"""For `Constant`: each channel's mean over places and over 1,024 samples of the prior."""


@dataclass(frozen=True, eq=False, repr=False)
class Constant(ByValue):
    """Assign a constant (Definition 2).

    Args:
        value: A number; `PRIOR_MEAN`; or an array that is broadcast against the layer's activation
            of one sample: (C,), a value a channel, (C, H, W), or (N, C) for tokens.

    Raises:
        InputError: If it is not finite.
    """

    value: float | ArrayLike | PriorMean

    def __post_init__(self) -> None:
        """Check the value, and keep a copy of an array as float32."""
        if not isinstance(self.value, PriorMean):
            object.__setattr__(self, "value", _amount("constant", self.value))


@dataclass(frozen=True)
class Scale:
    """Multiply by a factor.

    Args:
        factor: Any finite number; 1 changes nothing, 0 assigns zero.

    Raises:
        InputError: If it is not finite.
    """

    factor: float

    def __post_init__(self) -> None:
        """Check the factor."""
        object.__setattr__(self, "factor", finite_number("factor", self.factor))


@dataclass(frozen=True, eq=False, repr=False)
class Add(ByValue):
    """Add a value.

    Args:
        value: A number, or an array as `Constant` takes it.

    Raises:
        InputError: If it is not finite.
    """

    value: float | ArrayLike

    def __post_init__(self) -> None:
        """Check the value, and keep a copy of an array as float32."""
        object.__setattr__(self, "value", _amount("value to add", self.value))


@dataclass(frozen=True)
class Blend:
    """Mix with a donor: weight times the donor's values plus (1 - weight) times its own.

    Args:
        weight: Any finite number; 0 changes nothing, 1 is a swap, outside [0, 1] it extrapolates.
        donor: Whose values.

    Raises:
        InputError: If the weight is not finite.
    """

    weight: float
    donor: Donor = Original2()

    def __post_init__(self) -> None:
        """Check the weight and the donor's kind."""
        object.__setattr__(self, "weight", finite_number("weight", self.weight))
        _require_donor(self.donor)


Action: TypeAlias = Swap | Constant | Scale | Add | Blend
"""What an edit does."""


def at_strength(action: Action, strength: float) -> Action:
    """Do as much of an action: with 0 nothing, with 1 all, between them in proportion.

    Raises:
        InputError: If it is a constant: nothing lies between a value and one that replaces it.
    """
    match action:
        case _ if strength == 1:
            return action  # To the bit: no sum rounds.
        case Swap(donor=donor):
            return Blend(strength, donor)
        case Blend(weight=weight, donor=donor):
            return Blend(strength * weight, donor)
        case Scale(factor=factor):
            return Scale(1 + strength * (factor - 1))
        case Add(value=value):
            return Add(strength * np.asarray(value))
        case Constant():
            raise InputError(
                f"{described(action)} has no strength {strength:g}: swap, blend, scale and add have"
            )


def described(action: Action) -> str:
    """Put an action in a few words, for tables and messages."""
    match action:
        case Swap(donor=donor):
            return f"swap from {_donor_words(donor)}"
        case Constant(value=PriorMean()):
            return "constant: mean over the prior"
        case Constant(value=value):
            return f"constant {_amount_words(value)}"
        case Scale(factor=factor):
            return f"scale by {factor:g}"
        case Add(value=value):
            return f"add {_amount_words(value)}"
        case Blend(weight=weight, donor=donor):
            return f"blend with {weight:g} of {_donor_words(donor)}"


def _donor_words(donor: Donor) -> str:
    match donor:
        case Original2():
            return "original 2"
        case StoredLatents():
            return "stored latents"
        case ImageDonor():
            return "an image"


def _amount_words(value: object) -> str:
    return f"array {value.shape}" if isinstance(value, np.ndarray) else f"{value:g}"


def _require_donor(donor: object) -> None:
    if not isinstance(donor, Original2 | StoredLatents | ImageDonor):
        raise InputError(
            f"donor {told(donor)} is of no known kind; there are: Original2(), StoredLatents(...),"
            " ImageDonor(...)"
        )


def _amount(name: str, value: object) -> "float | NDArray[np.generic]":
    """Check a number or an array of up to three axes: finite, also in single precision."""
    if np.ndim(value) == 0:  # type: ignore[arg-type]  # its refusal is the next line's
        return finite_number(name, value)
    array = np.asarray(value)
    numbers = np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)
    if not numbers or array.size == 0 or array.ndim > _MOST_AXES:
        raise InputError(
            f"{name} of shape {array.shape} and type {array.dtype}: it must be a number, or numbers"
            " of shape (C,), (C, H, W) or (N, C)"
        )
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused
        single = array.astype(np.float32)
    return frozen(finite(name, single), np.float32)


def _arrays(latents: object) -> "dict[str, NDArray[np.generic]]":
    if not isinstance(latents, Mapping):
        raise InputError(
            f"the donor's latents are a {type(latents).__name__}: they must be arrays by the"
            " inputs' names"
        )
    return {str(name): np.asarray(array) for name, array in latents.items()}


def _single(dtype: "np.dtype[np.generic]") -> "np.dtype[np.generic]":
    # Generators compute in FP32, while numpy draws in FP64.
    return np.dtype(np.float32) if dtype == np.float64 else dtype
