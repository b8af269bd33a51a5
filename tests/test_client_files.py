"""Facts about files: arrays, and real images."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftscope.client import ImageFormat
from graftscope.client.arrays import (
    check_writable,
    prepare_folder,
    read_array,
    read_npz,
    write_bytes,
    write_npz,
)
from graftscope.client.errors import InputError, NotFoundError, OutputError
from graftscope.client.pictures import read_images
from zip_toys import MIB, npz_of_zeros

RGB = ImageFormat(channels=3, height=4, width=4, low=-1.0, high=1.0)
GREY = ImageFormat(channels=1, height=4, width=4, low=0.0, high=1.0)


def test_arrays_come_back_under_their_names(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, {"maps": np.arange(6.0).reshape(2, 3), "channels": np.array([4, 1])})
    back = read_npz(path)
    assert set(back) == {"maps", "channels"}
    np.testing.assert_array_equal(read_array(path, "maps"), [[0, 1, 2], [3, 4, 5]])


def test_a_file_keeps_the_name_it_was_given(tmp_path: Path) -> None:
    write_npz(tmp_path / "plain", {"a": np.zeros(1)})
    assert [file.name for file in tmp_path.iterdir()] == ["plain"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, {"a": np.zeros(1)})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    with pytest.raises(OutputError, match=r"cannot write .*: No space left on device"):
        write_npz(path, {"a": np.ones(1)})
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    np.testing.assert_array_equal(read_array(path, "a"), [0])


def test_a_file_that_cannot_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="there is no folder"):
        check_writable(tmp_path / "none" / "a.npz")
    with pytest.raises(OutputError, match="cannot write"):
        write_bytes(tmp_path / "none" / "a.png", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot make folder"):
        prepare_folder(tmp_path / "file" / "report")


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        read_npz(tmp_path / "none.npz")
    single = tmp_path / "single.npy"
    np.save(single, np.zeros(2))
    with pytest.raises(InputError, match=r"is not an .npz file, or its end is missing"):
        read_npz(single)
    objects = tmp_path / "objects.npz"
    np.savez(objects, a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"is not a readable .npz file"):
        read_npz(objects)
    cut = tmp_path / "cut.npz"
    write_npz(cut, {"a": np.zeros(1000)})
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(InputError, match="its end is missing"):
        read_npz(cut)
    empty = tmp_path / "empty.npz"
    write_npz(empty, {})
    with pytest.raises(InputError, match="has no array 'maps'; it has: no arrays"):
        read_array(empty, "maps")


def png(value: int, size: tuple[int, int] = (4, 4), mode: str = "RGB") -> bytes:
    buffer = BytesIO()
    Image.new(mode, size, (value,) * len(mode) if len(mode) > 1 else value).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        ({"said": 1100 * MIB}, "1 members that inflate to 1,153,433,600 bytes; of a file of its"),
        ({"copies": 300}, "301 members that inflate to 1,262,524,032 bytes"),
        ({"said": 1000}, "is not a readable"),
        ({"method": zipfile.ZIP_BZIP2}, "'maps.npy' is compressed by method 12; only zip files"),
        ({"method": zipfile.ZIP_LZMA}, "'maps.npy' is compressed by method 14"),
    ],
)
def test_a_small_file_that_would_fill_the_memory_is_refused(
    tmp_path: Path, made: dict[str, int], complaint: str
) -> None:
    path = npz_of_zeros(tmp_path / "maps.npz", 4 * MIB, **made)
    assert path.stat().st_size < MIB
    with pytest.raises(InputError, match=complaint):
        read_npz(path)


def test_zeros_are_few_bytes_and_are_read(tmp_path: Path) -> None:
    path = npz_of_zeros(tmp_path / "maps.npz", 4 * MIB)
    np.testing.assert_array_equal(read_npz(path)["maps"], np.zeros(4 * MIB, np.uint8))


def test_pictures_that_inflate_to_what_no_picture_is_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"
    picture = BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", picture.getvalue())
        archive.writestr("b.png", picture.getvalue(), zipfile.ZIP_LZMA)
        archive.writestr("c.png", picture.getvalue())
        archive.infolist()[-1].file_size = 200 * MIB
    read = read_images(path, ImageFormat(3, 8, 8, -1.0, 1.0))
    assert len(read.images) == 1
    assert read.skipped == (
        "b.png: it is neither stored nor deflated in the zip file",
        "c.png: it inflates to 209,715,200 bytes; at most 134,217,728",
    )


def test_a_folder_is_read_in_the_order_of_names_and_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c.png").write_bytes(png(30))
    (tmp_path / "a.PNG").write_bytes(png(10, (9, 7)))
    (tmp_path / "b.png").write_bytes(png(20)[:40])
    (tmp_path / "readme.txt").write_text("no image")
    read = read_images(tmp_path, RGB)
    assert read.images.shape == (2, 4, 4, 3)
    assert read.images.dtype == np.uint8
    assert read.images[:, 0, 0, 0].tolist() == [10, 30]
    assert len(read.skipped) == 1
    assert read.skipped[0].startswith("b.png: ")


def test_a_zip_and_a_single_image_are_read_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("folder/2.png", png(2))
        archive.writestr("folder/1.png", png(1))
    images = read_images(tmp_path / "images.zip", GREY).images
    assert images.shape == (2, 4, 4, 1)
    assert images[:, 0, 0, 0].tolist() == [1, 2]
    (tmp_path / "one.png").write_bytes(png(7, mode="L"))
    assert read_images(tmp_path / "one.png", RGB).images[0, 0, 0].tolist() == [7, 7, 7]


def test_what_lies_outside_the_centred_square_is_cut_off(tmp_path: Path) -> None:
    image = Image.new("L", (12, 4), 0)
    image.paste(255, (4, 0, 8, 4))
    image.save(tmp_path / "wide.png")
    assert (read_images(tmp_path, GREY).images == 255).all()


def test_a_place_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no image, folder or zip"):
        read_images(tmp_path / "none", RGB)
    with pytest.raises(InputError, match=r"no readable image among its 0 files ending in .bmp"):
        read_images(tmp_path, RGB)
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad.png: not an image of a known format"):
        read_images(tmp_path, RGB)
    with pytest.raises(InputError, match="have 2 colours; pictures have 1, 3 or 4"):
        read_images(tmp_path, ImageFormat(2, 4, 4, 0.0, 1.0))


@pytest.mark.parametrize("size", [RGB, GREY])
def test_sixteen_bits_give_the_pixels_of_eight(tmp_path: Path, size: ImageFormat) -> None:
    ramp = np.linspace(0, 65535, 16).reshape(4, 4)
    Image.fromarray(np.rint(ramp).astype(np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(np.rint(ramp / 257).astype(np.uint8)).save(tmp_path / "b.png")
    deep, flat = read_images(tmp_path, size).images.astype(int)
    np.testing.assert_allclose(deep, flat, atol=1)


@pytest.mark.parametrize(("dtype", "kind"), [(np.int32, "32-bit int"), (np.float32, "floating")])
def test_pixels_of_an_unknown_range_are_skipped_with_a_reason(
    tmp_path: Path, dtype: type, kind: str
) -> None:
    Image.fromarray(np.ones((4, 4), dtype)).save(tmp_path / "a.png", "TIFF")
    (tmp_path / "b.png").write_bytes(png(5))
    (skipped,) = read_images(tmp_path, RGB).skipped
    assert skipped.startswith(f"a.png: its pixels are {kind}")


def test_a_member_that_fails_its_checksum_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.png", png(1))
        archive.writestr("2.png", png(2))
    path.write_bytes(path.read_bytes().replace(png(1), png(1)[:-1] + b"!", 1))
    read = read_images(path, RGB)
    assert len(read.images) == 1
    assert read.skipped == ("1.png: Bad CRC-32 for file '1.png'",)


def test_an_array_that_claims_more_rows_than_memory_holds_is_refused(tmp_path: Path) -> None:
    header = BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 128)}
    np.lib.format.write_array_header_1_0(header, claim)
    path = tmp_path / "huge.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("z.npy", header.getvalue())
    with pytest.raises(InputError, match=r"huge\.npz is not a readable \.npz file"):
        read_npz(path)


def test_a_name_is_as_long_as_the_file_system_takes_it(tmp_path: Path) -> None:
    longest = tmp_path / ("a" * 251 + ".npz")
    check_writable(longest)
    write_npz(longest, {"a": np.zeros(1)})
    assert list(tmp_path.iterdir()) == [longest]
    with pytest.raises(OutputError, match=r"cannot write .*: File name too long"):
        check_writable(tmp_path / ("a" * 296 + ".npz"))
