"""Draws the pictures of docs/concepts.md with the face generator that comes with Graftscope.

python docs/make_concepts.py
"""

from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from graftscope.client import Client
from graftscope.client.figures import (
    figure_png,
    gallery_figure,
    graft_figure,
    hybrids_figure,
    templates_figure,
)

PICTURES: Final = Path(__file__).parent / "images" / "concepts"
MODEL: Final = "vae-celeba"
LAYER: Final = "intermediate"
MODULES: Final = 3
MAPS: Final = 18
QUALITY: Final = 88
SEED: Final = 3
"""Decides which faces are shown."""


def main() -> None:
    """Compute what is shown, and draw it."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with Client() as client:
        low_high = client.model(MODEL).image.range
        maps = client.influence(MODEL, LAYER, pairs=1024, stratified=True)
        modules = client.modules(maps, k=MODULES)
        whole = client.influence(MODEL, LAYER, labels=modules.labels, pairs=256)
        grafts = [
            client.hybridize(MODEL, LAYER, labels=modules.labels, module=module, pairs=6, seed=SEED)
            for module in range(MODULES)
        ]
    face = _module_of_the_middle(modules.templates)
    graft = grafts[face]
    figures = {
        "hybrid": graft_figure(
            graft.original1[0], graft.original2[0], graft.hybrid[0], modules.labels, face, low_high
        ),
        "maps": gallery_figure(
            maps.maps, modules.labels, maps.individual, maps.channels, limit=MAPS
        ),
        "templates": templates_figure(modules.templates, modules.labels),
        "hybrids": hybrids_figure(
            graft.original1,
            graft.original2,
            np.stack([each.hybrid for each in grafts]),
            modules.templates,
            whole.maps,
            modules.labels,
            low_high,
            limit=4,
        ),
    }
    for name, figure in figures.items():
        with Image.open(BytesIO(figure_png(figure))) as picture:
            half = picture.convert("RGB").reduce(2)
            half.save(PICTURES / f"{name}.webp", quality=QUALITY, method=6)


def _module_of_the_middle(templates: np.ndarray) -> int:
    """The module whose template is strongest in the middle of the picture, where the face is."""
    side = templates.shape[-1]
    middle = templates[:, side // 3 : -side // 3, side // 3 : -side // 3].mean(axis=(1, 2))
    return int(np.argmax(middle / templates.mean(axis=(1, 2))))


if __name__ == "__main__":
    main()
