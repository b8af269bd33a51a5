"""Grids of images drawn with Pillow alone."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from graftscope.client.pictures import image_grid_png, in_rows, to_pixels
from graftscope.client.pictures._grid import GAP

RANGE = (-1.0, 1.0)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def flat(count: int, value: float, channels: int = 3, side: int = 8) -> np.ndarray:
    return np.full((count, channels, side, side), value, dtype=np.float32)


def test_the_range_ends_are_black_and_white_and_what_lies_outside_is_clipped() -> None:
    values = np.array([-3.0, -1.0, 0.0, 1.0, 7.0]).reshape(5, 1, 1, 1)
    assert to_pixels(values, RANGE)[:, 0, 0, 0].tolist() == [0, 0, 128, 255, 255]


def test_transparent_images_lie_on_white() -> None:
    image = np.array([1.0, -1.0, -1.0, 0.0]).reshape(1, 4, 1, 1)  # red, half transparent
    assert to_pixels(image, (-1.0, 1.0)).ravel().tolist() == [255, 128, 128]


def test_grey_images_get_three_equal_colours() -> None:
    pixels = to_pixels(np.random.default_rng(0).uniform(-1, 1, (2, 1, 4, 5)), RANGE)
    assert pixels.shape == (2, 4, 5, 3)
    assert (pixels[..., :1] == pixels).all()


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 2, 8, 8), (2, 5, 8, 8)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="c = 1, 3 or 4"):
        to_pixels(np.zeros(shape), RANGE)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="low must be below high"):
        to_pixels(flat(1, 0.0), (1.0, 1.0))


def test_small_images_are_enlarged_by_an_integer_factor_with_white_gaps() -> None:
    grid = opened(image_grid_png([flat(3, -1.0), flat(2, -1.0)], image_range=RANGE, min_side=60))
    side = 8 * 8  # the smallest multiple of 8 that is at least 60
    assert grid.shape == (2 * (side + GAP) + GAP, 3 * (side + GAP) + GAP, 3)
    assert (grid[:GAP] == 255).all()
    assert (grid[GAP : GAP + side, GAP : GAP + side] == 0).all()
    assert (grid[GAP : GAP + side, GAP + side : 2 * GAP + side] == 255).all()
    assert (grid[-side:, -(side + GAP) :] == 255).all(), "the shorter row's last place is empty"


def test_nearest_enlargement_repeats_pixels() -> None:
    image = np.random.default_rng(1).uniform(-1, 1, (1, 3, 4, 4))
    grid = opened(image_grid_png([image], image_range=RANGE, min_side=12, resample="nearest"))
    expected = to_pixels(image, RANGE)[0].repeat(3, axis=0).repeat(3, axis=1)
    assert (grid[GAP:-GAP, GAP:-GAP] == expected).all()


def test_large_images_keep_their_size() -> None:
    grid = opened(image_grid_png([flat(1, 0.0, side=200)], image_range=RANGE))
    assert grid.shape[:2] == (200 + 2 * GAP, 200 + 2 * GAP)


def test_labels_stand_in_a_margin_at_the_left() -> None:
    rows = [flat(2, 1.0), flat(2, 1.0)]
    plain = opened(image_grid_png(rows, image_range=RANGE))
    labelled = opened(image_grid_png(rows, ["original 1", "hybrid"], image_range=RANGE))
    margin = labelled.shape[1] - plain.shape[1]
    assert margin > 50
    assert (labelled[:, :margin] < 128).any(axis=(1, 2)).sum() > 10, "there is ink in the margin"
    assert (labelled[:, margin:] == plain).all()


def test_labels_and_rows_must_match_in_number() -> None:
    with pytest.raises(ValueError, match="1 labels for 2 rows"):
        image_grid_png([flat(1, 0.0), flat(1, 0.0)], ["one"], image_range=RANGE)


def test_a_grid_without_images_is_refused() -> None:
    for rows in ([], [flat(0, 0.0)]):
        with pytest.raises(ValueError, match="no image"):
            image_grid_png(rows, image_range=RANGE)


def test_images_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        image_grid_png([flat(1, 0.0), flat(1, 0.0, side=16)], image_range=RANGE)


def test_in_rows_keeps_every_image_in_order() -> None:
    images = np.arange(11).reshape(11, 1, 1, 1).astype(float)
    rows = in_rows(images, columns=4)
    assert [len(row) for row in rows] == [4, 4, 3]
    assert (np.concatenate(rows) == images).all()
    with pytest.raises(ValueError, match="at least 1"):
        in_rows(images, columns=0)


def test_drawing_a_grid_needs_no_matplotlib() -> None:
    code = (
        "import sys, numpy as np\n"
        "from graftscope.client.pictures import image_grid_png\n"
        "image_grid_png([np.zeros((1, 3, 8, 8))], ['a'], image_range=(-1, 1))\n"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
