"""What an ONNX file of a network that looks at images says of itself, and those that ship.

It is kept in the file's own `metadata_props`, so that one file is all there is to send:

| key | value |
| --- | --- |
| `graftscope.preprocessing` | `Preprocessing` in JSON |
| `graftscope.features` | name of the output that holds features |
| `graftscope.scores` | name of the output that holds one score a class or attribute |
| `graftscope.classes` | their names in JSON, in the order of the scores |
| `graftscope.exclusive` | `true` if an image is of one class, `false` if of any number |

It knows no ONNX: it reads and writes these words alone.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Final

from graftscope.bundle.errors import BundleNotFoundError, NetworkError
from graftscope.v1 import bundle_pb2

_SHIPPED: Final = Path(__file__).parent / "shipped-networks"
_PREFIX: Final = "graftscope."
_SWITCH: Final = {"true": True, "false": False}


class ImageLayout(StrEnum):
    """In which order a network's input has its axes."""

    NCHW = "NCHW"
    """Batch, channels, height, width, as PyTorch has it."""
    NHWC = "NHWC"
    """Batch, height, width, channels, as TensorFlow has it."""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to images before a network sees them, in this order.

    1. Pixels are clipped to the range that they come in, and scaled to `low` to `high`.
    2. They are resized to `height` by `width`.
    3. `mean` is subtracted from every channel, and the rest divided by `deviation`.
    4. The channels are turned round if `bgr`, and the axes put in the order of `layout`.

    Attributes:
        low: The value of black, before the mean is subtracted.
        high: The value of white, likewise; above `low`.
        height: In pixels; 0 leaves it to the network or, where that takes any, to the images.
        width: Likewise.
        mean: One for each channel, or one for all; red first, also if `bgr`.
        deviation: Likewise, each above 0.
        layout: The order of the axes.
        bgr: Whether the network takes blue first.

    Raises:
        NetworkError: If a value is not allowed.
    """

    low: float = 0.0
    high: float = 1.0
    height: int = 0
    width: int = 0
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    layout: ImageLayout = ImageLayout.NCHW
    bgr: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _require("low", self.low, math.isfinite(self.low), "a finite number")
        _require("high", self.high, self.low < self.high < math.inf, f"above low ({self.low:g})")
        for name in ("height", "width"):
            _require(name, getattr(self, name), getattr(self, name) >= 0, "at least 0")
        one_given = bool(self.height) != bool(self.width)
        _require("width", self.width, not one_given, "given where height is, and nowhere else")
        for name in ("mean", "deviation"):
            given = getattr(self, name)
            _require(name, given, 0 < len(given) <= 4, "1 to 4 numbers, one for each channel")
            _require(name, given, all(map(math.isfinite, given)), "finite numbers")
        _require("deviation", self.deviation, min(self.deviation) > 0, "above 0")


@dataclass(frozen=True)
class NetworkDescription:
    """What a file says of itself; nothing of it has to be there.

    Attributes:
        preprocessing: What its images go through.
        features: Name of the output with features.
        scores: Name of the output with scores.
        classes: Names of the scores, in their order.
        exclusive: Whether exactly one of the classes holds for an image; otherwise each score
            speaks of an attribute that an image has or has not.
    """

    preprocessing: Preprocessing | None = None
    features: str = ""
    scores: str = ""
    classes: tuple[str, ...] = ()
    exclusive: bool = True

    def to_metadata(self) -> dict[str, str]:
        """Return it as a file's `metadata_props` have it."""
        told = {"features": self.features, "scores": self.scores}
        if self.preprocessing is not None:
            told["preprocessing"] = json.dumps(asdict(self.preprocessing))
        if self.classes:
            told["classes"] = json.dumps(self.classes)
            told["exclusive"] = json.dumps(self.exclusive)
        return {_PREFIX + key: value for key, value in told.items() if value}


def describe_network(metadata: Mapping[str, str]) -> NetworkDescription:
    """Read what a file says of itself.

    Args:
        metadata: The file's `metadata_props`; keys of others are left alone.

    Raises:
        NetworkError: If a key of ours has another value than it may; names the key.
    """
    told = {key.removeprefix(_PREFIX): metadata[key] for key in metadata if key.startswith(_PREFIX)}
    stated = told.get("preprocessing")
    exclusive = told.get("exclusive", "true")
    if exclusive not in _SWITCH:
        raise NetworkError(f"{_PREFIX}exclusive is {exclusive!r}; it must be true or false")
    return NetworkDescription(
        preprocessing=None if stated is None else _preprocessing(_json("preprocessing", stated)),
        features=told.get("features", ""),
        scores=told.get("scores", ""),
        classes=_classes(_json("classes", told.get("classes", "[]"))),
        exclusive=_SWITCH[exclusive],
    )


def shipped_networks() -> dict[str, Path]:
    """Return the files of the networks that come with the package, by name."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.onnx"))}


def find_network(name: str) -> Path:
    """Return the file of a network that comes with the package.

    Args:
        name: The network's name.

    Raises:
        BundleNotFoundError: If there is none of that name; the message lists the names.
    """
    known = shipped_networks()
    if name not in known:
        names = ", ".join(known) or "none"
        raise BundleNotFoundError(
            f"no network {name!r} comes with the package; there are: {names}; or name a file"
        )
    return known[name]


def network_for(manifest: bundle_pb2.Bundle) -> str | None:
    """Return the name of the shipped network that knows a generator's images.

    Args:
        manifest: The generator's, whose provenance names the images that it was trained on.

    Returns:
        None where none does.
    """
    told = f"{manifest.provenance.recipe} {manifest.provenance.data}".lower()
    words = set(re.findall(r"[a-z0-9]+", told.replace("cifar-", "cifar")))
    return next((name for name in shipped_networks() if name in words), None)


def _preprocessing(plain: object) -> Preprocessing:
    key = f"{_PREFIX}preprocessing"
    kinds = {each.name: type(each.default) for each in fields(Preprocessing)}
    if not isinstance(plain, dict) or not set(plain) <= set(kinds):
        raise NetworkError(f"{key} must be an object with some of {', '.join(kinds)}: {plain!r}")
    given = {name: _as(kinds[name], name, plain[name]) for name in plain}
    return Preprocessing(**given)  # type: ignore[arg-type]  # each is of its field's type


def _as(kind: type, name: str, value: object) -> object:
    """A value of JSON as a field of `Preprocessing` has it."""
    if kind is tuple and isinstance(value, list) and all(map(_is_number, value)):
        return tuple(float(each) for each in value)
    if kind is ImageLayout and isinstance(value, str) and value in list(ImageLayout):
        return ImageLayout(value)
    if (kind is bool and isinstance(value, bool)) or (
        kind is int and isinstance(value, int) and not isinstance(value, bool)
    ):
        return value
    if kind is float and _is_number(value):
        return float(value)  # type: ignore[arg-type]
    raise NetworkError(f"{_PREFIX}preprocessing: {name} may not be {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _classes(plain: object) -> tuple[str, ...]:
    if not isinstance(plain, list) or not all(isinstance(each, str) for each in plain):
        raise NetworkError(f"{_PREFIX}classes must be a list of names, not {plain!r}")
    return tuple(plain)


def _json(key: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"{_PREFIX}{key} is no JSON: {error}") from error


def _require(name: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise NetworkError(f"{name} must be {allowed}, not {value}")
