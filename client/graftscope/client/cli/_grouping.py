"""Options about how channels are grouped into modules, and how they are read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from graftscope.client._checks import whole_number
from graftscope.client._models import Model
from graftscope.client._tasks import Method
from graftscope.client.cli._options import MAPS
from graftscope.client.errors import InputError

MOST_MODULES = 10_000
"""No layer has more channels: a range of numbers of modules ends here."""

MethodOption = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="nmf|kmeans|pca|spectral",
        help="How channels are grouped: nmf, kmeans by where their maps are large; pca, spectral "
        "by what they do in every pair, for images that are not aligned in space.",
    ),
]
KsOption = Annotated[
    str | None,
    typer.Option(
        "--k",
        metavar="2-10|2,3,4",
        help="Numbers of modules: a range, or some with commas. Default: 2 to 10, as far as there "
        "are channels.",
    ),
]


@dataclass(frozen=True)
class FilterOptions:
    """What of a map counts (section 3.3)."""

    window: Annotated[
        int,
        typer.Option(
            "--window",
            metavar="N",
            help="Maps are averaged over windows of N x N pixels first; odd.",
            rich_help_panel=MAPS,
        ),
    ] = 3
    percentile: Annotated[
        float,
        typer.Option(
            "--percentile",
            metavar="P",
            help="A pixel counts where its map is above its own percentile P, between 0 and 100.",
            rich_help_panel=MAPS,
        ),
    ] = 75.0


def parse_method(text: str, allowed: Sequence[Method] = tuple(Method)) -> Method:
    """Read how channels are grouped."""
    if text not in allowed:
        raise InputError(f"--method {text!r} is unknown; there are: {', '.join(allowed)}")
    return Method(text)


def parse_methods(text: str) -> tuple[Method, ...]:
    """Read several ways of grouping, with commas."""
    return tuple(parse_method(part.strip()) for part in text.split(","))


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read integers from 0, with commas."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"{option} {text!r} is not integers from 0 with commas, like 0,1,2")
    return tuple(whole_number(option, int(part)) for part in parts)


def parse_ks(text: str | None) -> tuple[int, ...] | None:
    """Read numbers of modules: ranges and single ones, with commas."""
    if text is None:
        return None
    return tuple(k for part in text.split(",") for k in _range(part, text))


def _range(part: str, text: str) -> range:
    found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
    if found is None:
        raise InputError(f"--k {text!r} is not a range like 2-10, nor integers like 2,3,4")
    low, high = (
        whole_number("--k", int(each or found[1]), high=MOST_MODULES) for each in found.groups()
    )
    if low > high:
        raise InputError(f"--k {text!r}: the range {part.strip()} ends before it begins")
    return range(low, high + 1)


def check_k(k: int, model: Model, layer: str) -> None:
    """Refuse, before maps are computed, a number of modules that the layer cannot have.

    Raises:
        InputError: If it is not from 1 to the number of channels, or there is no such layer.
    """
    channels = model.layer(layer).channels
    if whole_number("k", k, low=1) > channels:
        raise InputError(
            f"k {k} is more than the {channels} maps of layer {layer!r}, one a channel: it must be"
            f" from 1 to {channels}",
            field="k",
        )
