"""Writes docs/reproduction.md and its pictures from two runs of `graftscope reproduce all`.

    graftscope reproduce all --data DATA --out real
    graftscope reproduce all --out encoded
    python docs/make_reproduction.py real encoded

Every number of the page is read from the runs' JSON, so the page says what they measured.
"""

import json
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

DOCS = Path(__file__).parent
PICTURES = DOCS / "images" / "reproduction"
TEMPLATE = "reproduction.md.jinja"

PHOTOGRAPHS = ("fig6-beta",)
"""Figures that show real images, which do not belong into the repository."""


DARK = "-dark"
"""The end of the stem of figures for a dark page."""


def read(folder: Path) -> dict[str, object]:
    """Read every experiment's JSON by its name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}


def copy_pictures(real: Path, encoded: Path) -> None:
    """Copy the figures at half their size; one that shows photographs comes from the other run."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    found = {path.stem: path for path in sorted(real.glob("*.png")) if DARK not in path.stem}
    found |= {stem: encoded / f"{stem}.png" for stem in PHOTOGRAPHS}
    for path in found.values():
        with Image.open(path) as picture:
            size = (picture.width // 2, picture.height // 2)
            small = picture.resize(size, Image.Resampling.LANCZOS)
            small.quantize(256, dither=Image.Dither.NONE).save(PICTURES / path.name, optimize=True)


def main(real: Path, encoded: Path) -> None:
    """Fill the template."""
    environment = Environment(
        loader=FileSystemLoader(DOCS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template(TEMPLATE).render(real=read(real), encoded=read(encoded))
    (DOCS / "reproduction.md").write_text(page, "utf-8")
    copy_pictures(real, encoded)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
