r"""Graftscope's figures: arrays in, a matplotlib figure or the bytes of a PNG out.

They must not know gRPC, the client or a server. Importing this package needs numpy and Pillow
alone; matplotlib, of the extra ``report``, is imported when the first figure is drawn.

Axis letters: N samples, B pairs, C channels, K modules, S seeds, c colours, H, W pixels.

Example:
    >>> import numpy as np
    >>> from graftscope.client.figures import figure_png, samples_figure
    >>> images = np.zeros((4, 3, 8, 8), dtype=np.float32)
    >>> figure_png(samples_figure(images, (-1.0, 1.0)))[:4]
    b'\x89PNG'
"""

from graftscope.client.figures._canvas import (
    MAP_GAMMA,
    PHOTO_SCALE,
    SCALE,
    ReportExtraError,
    colored,
    figure_png,
)
from graftscope.client.figures._comparison import comparison_figure
from graftscope.client.figures._graft import graft_figure
from graftscope.client.figures._images import hybrids_figure, samples_figure
from graftscope.client.figures._influence import gallery_figure, individual_figure, region_figure
from graftscope.client.figures._pairs import pairs_figure
from graftscope.client.figures._palette import MAP_COLORS, TEMPLATE_COLORS, module_color
from graftscope.client.figures._templates import seeds_figure, template_png, templates_figure

__all__ = [
    "MAP_COLORS",
    "MAP_GAMMA",
    "PHOTO_SCALE",
    "SCALE",
    "TEMPLATE_COLORS",
    "ReportExtraError",
    "colored",
    "comparison_figure",
    "figure_png",
    "gallery_figure",
    "graft_figure",
    "hybrids_figure",
    "individual_figure",
    "module_color",
    "pairs_figure",
    "region_figure",
    "samples_figure",
    "seeds_figure",
    "template_png",
    "templates_figure",
]
