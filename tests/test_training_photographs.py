"""Photographs for foreign networks: one reading, whoever reads them."""

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from graftscope.client.models import ImageFormat
from graftscope.client.pictures import read_images
from graftscope.training import open_photographs
from graftscope.training.errors import DataError, EmptyDataError


def noise(height: int, width: int, mode: str, seed: int) -> Image.Image:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    pixels = np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)
    return Image.fromarray(pixels)


def put_photographs(folder: Path) -> None:
    """Wide, high, square, grey, transparent, of 16 bits, and lying on its side."""
    folder.mkdir()
    noise(40, 60, "RGB", 0).save(folder / "a-wide.png")
    noise(61, 37, "RGB", 1).save(folder / "b-high.jpg")
    noise(8, 8, "RGB", 2).save(folder / "c-square.bmp")
    noise(30, 30, "L", 3).save(folder / "d-grey.png")
    noise(30, 30, "RGBA", 4).save(folder / "e-transparent.webp", lossless=True)
    deep = np.random.default_rng(5).integers(2**16, size=(20, 30), dtype=np.uint16)
    Image.fromarray(deep).save(folder / "f-deep.png")
    side = Image.Exif()
    side[0x0112] = 6  # the orientation of a camera held upright
    noise(24, 36, "RGB", 6).save(folder / "g-side.jpg", exif=side)


def read(path: Path, size: ImageFormat, batch: int = 3) -> np.ndarray:
    found = open_photographs(
        str(path), channels=size.channels, height=size.height, width=size.width
    )
    return np.concatenate(list(found.batches(batch)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_photographs_are_the_pixels_that_encode_sends(tmp_path: Path, channels: int) -> None:
    put_photographs(tmp_path / "photographs")
    size = ImageFormat(channels, 12, 16, 0.0, 1.0)
    theirs = read_images(tmp_path / "photographs", size).images
    assert theirs.shape == (7, 12, 16, channels)
    np.testing.assert_array_equal(read(tmp_path / "photographs", size), theirs)


def test_a_zip_is_its_folder_and_skips_what_is_no_image(tmp_path: Path) -> None:
    put_photographs(tmp_path / "photographs")
    with ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (tmp_path / "photographs").iterdir():
            archive.write(path, f"some/{path.name}")
        archive.writestr("some/broken.png", b"no picture")
    size = ImageFormat(3, 8, 8, 0.0, 1.0)
    found = open_photographs(str(tmp_path / "all.zip"), channels=3, height=8, width=8)
    pixels = np.concatenate(list(found.batches(2)))
    np.testing.assert_array_equal(pixels, read(tmp_path / "photographs", size))
    assert len(found) == 8
    assert [(each.name, each.reason) for each in found.skipped] == [
        ("some/broken.png", "not an image of a known format")
    ]


def test_nothing_readable_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no picture")
    found = open_photographs(str(tmp_path), channels=3, height=8, width=8)
    with pytest.raises(EmptyDataError, match=r"none of the 1 images in .* the first, 'x.png': not"):
        list(found.batches(4))
    with pytest.raises(DataError, match="cannot have 2 colours; allowed: 1, 3, 4"):
        open_photographs(str(tmp_path), channels=2, height=8, width=8)


def test_a_grey_file_is_read_as_it_is(tmp_path: Path) -> None:
    content = BytesIO()
    noise(5, 5, "L", 9).save(content, "PNG")
    (tmp_path / "x.png").write_bytes(content.getvalue())
    expected = np.asarray(noise(5, 5, "L", 9))[None, :, :, None]
    np.testing.assert_array_equal(read(tmp_path, ImageFormat(1, 5, 5, 0.0, 1.0)), expected)
