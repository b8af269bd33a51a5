"""Writes docs/worth.md and its pictures from a run of `graftscope reproduce worth`.

    graftscope reproduce worth --data DATA --out worth
    python docs/make_worth.py worth

Every number of the page is read from the run's JSON, and from what was kept in docs/worth of
trainings that take longer than a page: each of those files names the command that made it.
"""

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

DOCS = Path(__file__).parent
PICTURES = DOCS / "images" / "worth"
KEPT = DOCS / "worth"
TEMPLATE = "worth.md.jinja"
DARK = "-dark"
"""The end of the stem of figures for a dark page."""


def told(value: float | None, stderr: float | None = None, digits: int = 3) -> str:
    """A number with its standard error, both to the error's second digit; a dash for none."""
    if value is None or math.isnan(value):
        return "–"  # noqa: RUF001
    if stderr is None or not stderr > 0:
        return f"{value:.{digits}g}".replace("-", "−")  # noqa: RUF001
    places = max(0, 1 - math.floor(math.log10(stderr)))
    return f"{value:.{places}f} ± {stderr:.{places}f}".replace("-", "−")  # noqa: RUF001


def percent(value: float | None, stderr: float | None = None) -> str:
    """The same of a share, in per cent."""
    if value is None:
        return told(None)
    return f"{told(100 * value, None if stderr is None else 100 * stderr)} %"


def modules_of(layer: dict[str, Any]) -> Iterable[int]:
    """The places of a layer's modules among its sets."""
    kinds = layer["faithfulness"]["kinds"]
    return [place for place, kind in enumerate(kinds) if kind == "module"]


def place_of(layer: dict[str, Any], kind: str) -> int:
    """The place of the first set of a kind."""
    kinds: list[str] = layer["faithfulness"]["kinds"]
    return kinds.index(kind)


def others(row: list[float | None]) -> float | None:
    """The mean of what a module has with the other modules; None where there are none."""
    known = [each for each in row if each is not None]
    return sum(known) / len(known) if known else None


def mean_of(estimates: list[dict[str, float]]) -> float:
    """The mean of several estimates' values."""
    return sum(each["value"] for each in estimates) / len(estimates)


def agreed(found: dict[str, float]) -> str:
    """How far two groupings of the same channels agree."""
    return f"{percent(found['channels'])} ({told(found['adjusted_rand'], digits=2)})"


def mean_agreement(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """The mean of several agreements."""
    names = ("channels", "adjusted_rand")
    return {name: sum(each[name] for each in found.values()) / len(found) for name in names}


def between(probe: dict[str, Any], what: str, at: int) -> str:
    """A share in per cent with the interval that it lies in."""
    value, low, high = (100 * probe[f"{what}{end}"][at] for end in ("", "_low", "_high"))
    return f"{value:.0f} % ({low:.0f} to {high:.0f})"


def kept() -> dict[str, Any]:
    """What was kept of longer runs, by the file's name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(KEPT.glob("*.json"))}


def copy_pictures(run: Path) -> None:
    """Copy the figures at half their size."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for path in sorted(run.glob("*.png")):
        if DARK in path.stem:
            continue
        with Image.open(path) as picture:
            size = (picture.width // 2, picture.height // 2)
            small = picture.resize(size, Image.Resampling.LANCZOS)
            small.quantize(256, dither=Image.Dither.NONE).save(PICTURES / path.name, optimize=True)


def main(run: Path) -> None:
    """Fill the template."""
    environment = Environment(
        loader=FileSystemLoader(DOCS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(percent=percent)
    environment.globals.update(
        told=told,
        percent=percent,
        modules_of=modules_of,
        place_of=place_of,
        others=others,
        mean_of=mean_of,
        agreed=agreed,
        mean_agreement=mean_agreement,
        between=between,
    )
    document = json.loads((run / "worth.json").read_text("utf-8"))
    page = environment.get_template(TEMPLATE).render(run=document, kept=kept())
    (DOCS / "worth.md").write_text(page, "utf-8")
    copy_pictures(run)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
