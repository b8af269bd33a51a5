"""What an experiment leaves behind: figures, numbers as JSON, claims, and a page of them all.

It must not know how anything was measured.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import numpy as np

from graftscope.client.arrays import write_bytes
from graftscope.client.figures.paper import save
from graftscope.client.reproduce._claims import Reproduction

_TEMPLATE = "page.html.jinja"


def write_reproduction(found: Reproduction, context: Mapping[str, object], out: Path) -> list[Path]:
    """Write one experiment's figures as PNG and PDF, and its numbers and claims as JSON.

    Args:
        found: The experiment.
        context: What it was computed with: models, pairs, seed, originals.
        out: A folder that is there.

    Returns:
        The files: JSON first, then PNG and PDF of each figure.

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
        files += save(picture.draw(), out / picture.stem)
    return files


def write_page(found: Sequence[Reproduction], context: Mapping[str, object], out: Path) -> Path:
    """Write `index.html`: every figure with its caption and the claims that it bears on.

    Returns:
        The page.

    Raises:
        OutputError: If it cannot be written.
    """
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        resources.files(__package__).joinpath(_TEMPLATE).read_text("utf-8")
    )
    page = template.render(found=found, context=context)
    write_bytes(out / "index.html", page.encode())
    return out / "index.html"


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
