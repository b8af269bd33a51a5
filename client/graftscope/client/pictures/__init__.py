"""Pictures: real images and painted masks from files, and grids of images to one PNG.

It must not know servers, analyses or matplotlib.
"""

from graftscope.client.pictures._colors import color_steps, color_table
from graftscope.client.pictures._grid import image_grid_png, in_rows, to_pixels
from graftscope.client.pictures._photograph import Photograph, fit_photograph
from graftscope.client.pictures._reading import (
    fit_picture,
    image_names,
    read_images,
    read_mask,
    read_picture,
)
from graftscope.client.pictures._strip import strip_animation, strip_png

__all__ = [
    "Photograph",
    "color_steps",
    "color_table",
    "fit_photograph",
    "fit_picture",
    "image_grid_png",
    "image_names",
    "in_rows",
    "read_images",
    "read_mask",
    "read_picture",
    "strip_animation",
    "strip_png",
    "to_pixels",
]
