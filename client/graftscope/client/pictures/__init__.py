"""Pictures: real images and painted masks from files, and grids of images to one PNG.

It must not know servers, analyses or matplotlib.
"""

from graftscope.client.pictures._grid import image_grid_png, in_rows, to_pixels
from graftscope.client.pictures._reading import fit_picture, read_images, read_mask, read_picture
from graftscope.client.pictures._strip import strip_animation, strip_png

__all__ = [
    "fit_picture",
    "image_grid_png",
    "in_rows",
    "read_images",
    "read_mask",
    "read_picture",
    "strip_animation",
    "strip_png",
    "to_pixels",
]
