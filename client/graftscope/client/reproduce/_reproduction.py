"""What an experiment gives: figures, numbers, and claims of the paper beside what was measured; and
what it leaves behind: files of all these, and a page.

It must not know how anything was measured.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from graftscope.client.arrays import write_bytes
from graftscope.client.figures.paper import save, save_dark
from graftscope.client.report import page_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEMPLATE = "page.html.jinja"


class Verdict(StrEnum):
    """Whether what was measured agrees with the paper."""

    AGREES = "agrees"
    PARTLY = "partly"
    DIFFERS = "differs"
    UNDECIDED = "undecided"
    TOO_FEW = "too few pairs to tell"


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper, in our words, and our number.

    Args:
        section: Where the paper says it.
        claim: What it says.
        measured: What was measured, with its error.
        criterion: What would count as agreement, settled before the numbers were known.
        verdict: Whether it does.
        sample: What the pairs behind it tell of their own number; empty where the criterion says.
    """

    section: str
    claim: str
    measured: str
    criterion: str
    verdict: Verdict
    sample: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure and its caption.

    Args:
        stem: Of its files' names.
        caption: One paragraph: what is shown, how many pairs, where originals come from.
        draw: Makes the matplotlib figure; drawing is left to the end.
    """

    stem: str
    caption: str
    draw: Callable[[], "Figure"]


@dataclass(frozen=True)
class Reproduction:
    """What one command gives.

    Args:
        name: The command's.
        title: What it is about.
        pictures: Figures, at least one.
        numbers: Everything that the figures show, ready for JSON.
        claims: Claims of the paper that it bears on.
    """

    name: str
    title: str
    pictures: Sequence[Picture]
    numbers: Mapping[str, object]
    claims: Sequence[Claim] = ()


def verdict(*, agrees: bool, partly: bool = False) -> Verdict:
    """Choose between agreement, partial agreement and difference."""
    if agrees:
        return Verdict.AGREES
    return Verdict.PARTLY if partly else Verdict.DIFFERS


def verdict_of(conditions: Sequence[bool | None]) -> Verdict:
    """Agreement where all conditions hold, partial where some do; none while one is open.

    Args:
        conditions: One or more, None where the pairs' error leaves it open.
    """
    if None in conditions:
        return Verdict.TOO_FEW
    return verdict(agrees=all(conditions), partly=any(conditions))


def verdict_at(level: str, good: Collection[str], near: Collection[str] = ()) -> Verdict:
    """Agreement where a claim holds at the level; partial where at another, or nearly there."""
    return verdict(agrees=level in good, partly=bool(good) or level in near)


def write_reproduction(found: Reproduction, context: Mapping[str, object], out: Path) -> list[Path]:
    """Write one experiment's figures as PNG, PDF and PNG for a dark page, and the rest as JSON.

    Args:
        found: The experiment.
        context: What it was computed with: models, pairs, seed, originals.
        out: A folder that is there.

    Returns:
        The files: JSON first, then PNG, PDF and dark PNG of each figure.

    Raises:
        OutputError: If one cannot be written.
    """
    document = {
        "name": found.name,
        "title": found.title,
        "context": context,
        "figures": [{"file": each.stem, "caption": each.caption} for each in found.pictures],
        "claims": [asdict(claim) for claim in found.claims],
        "numbers": found.numbers,
    }
    files = [out / f"{found.name}.json"]
    text = json.dumps(plain(document), indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(files[0], f"{text}\n".encode())
    for picture in found.pictures:
        figure = picture.draw()
        files += save(figure, out / picture.stem)
        files.append(save_dark(figure, out / picture.stem))
    return files


def write_page(found: Sequence[Reproduction], context: Mapping[str, object], out: Path) -> Path:
    """Write `index.html`: every figure with its caption and the claims that it bears on.

    Args:
        found: The experiments, all written by `write_reproduction` into the same folder.
        context: What they were computed with.
        out: That folder.

    Returns:
        The page.

    Raises:
        OutputError: If it cannot be written.
    """
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        resources.files(__package__).joinpath(_TEMPLATE).read_text("utf-8")
    )
    sizes = {picture.stem: _size(out, picture) for each in found for picture in each.pictures}
    page = template.render(found=found, context=context, css=page_style(), sizes=sizes)
    write_bytes(out / "index.html", page.encode())
    return out / "index.html"


def _size(out: Path, picture: Picture) -> tuple[int, int]:
    """How large a figure stands on the page, in CSS pixels: print has twice as many."""
    with Image.open(out / f"{picture.stem}.png") as drawn:
        return drawn.width // 2, drawn.height // 2


def plain(value: object) -> object:
    """Turn numbers and arrays of numpy into what JSON has; what is not finite becomes null."""
    match value:
        case np.ndarray():
            return plain(value.tolist())
        case np.generic():
            return plain(value.item())
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value
