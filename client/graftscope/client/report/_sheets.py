"""The figures that lie beside the page, for slides and papers: which shows what, and its file name.

They have a white ground and the width of a page; what the page itself shows is in `_pictures`.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures import (
    PHOTO_SCALE,
    figure_png,
    gallery_figure,
    graft_figure,
    hybrids_figure,
    individual_figure,
    samples_figure,
    seeds_figure,
    template_png,
    templates_figure,
)
from graftscope.client.report._confidence import others
from graftscope.client.report._data import LayerSection, ReportData
from graftscope.client.report._example import Example
from graftscope.client.report._pictures import MAPS_SHOWN, PAIRS_SHOWN, SAMPLES_SHOWN
from graftscope.client.report._wording import slug

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_sheets(data: ReportData, example: Example) -> dict[str, bytes]:
    """Draw every figure of a report as a PNG, by its file's name."""
    found = {
        "samples.png": _photo(samples_figure(data.samples, data.image_range, limit=SAMPLES_SHOWN)),
        "graft.png": figure_png(_graft(data, example)),
    }
    for place, section in enumerate(data.sections, start=1):
        stem = f"{place}-{slug(section.layer)}"
        found |= {f"{stem}-{name}.png": png for name, png in _of_layer(data, section).items()}
    return found


def _graft(data: ReportData, example: Example) -> "Figure":
    section, module, pair = example.section, example.module, example.pair
    return graft_figure(
        section.original1[pair],
        section.original2[pair],
        section.hybrids[module, pair],
        section.labels[0],
        module,
        data.image_range,
    )


def _of_layer(data: ReportData, section: LayerSection) -> dict[str, bytes]:
    labels, templates = section.labels[0], section.templates[0]
    found = {
        "maps": figure_png(
            gallery_figure(
                section.maps,
                labels,
                section.individual,
                section.channel_indices,
                limit=MAPS_SHOWN,
                others=others(section),
            )
        ),
        "templates": figure_png(templates_figure(templates, labels, _sure(section))),
        "seeds": figure_png(seeds_figure(section.templates, section.agreement, section.seeds)),
        "hybrids": _photo(
            hybrids_figure(
                section.original1,
                section.original2,
                section.hybrids,
                templates,
                section.module_maps,
                labels,
                data.image_range,
                limit=PAIRS_SHOWN,
            )
        ),
        "individual": figure_png(
            individual_figure(
                section.individual,
                section.individual_stderr,
                labels,
                section.channel_indices,
                data.image_range,
            )
        ),
    }
    return found | {
        f"template-{module}": template_png(template) for module, template in enumerate(templates)
    }


def _sure(section: LayerSection) -> NDArray[np.bool_] | None:
    return section.sure if np.isfinite(section.confidence).any() else None


def _photo(figure: "Figure") -> bytes:
    return figure_png(figure, PHOTO_SCALE)
