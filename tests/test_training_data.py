"""Images: every kind of source, the held-out rule, the crop, and damaged files."""

import io
import os
import pickle
import tarfile
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from graftscope.training._decoding import UnreadableImage, decode_all, decode_image
from graftscope.training.architecture import Architecture
from graftscope.training.data import ImageData, is_held_out, load_images
from graftscope.training.errors import (
    DataError,
    DataNotFoundError,
    EmptyDataError,
    MissingExtraError,
)
from graftscope.training.progress import Stage, TrainProgress, ignore_progress
from graftscope.training.recipes import RECIPES, HeldOutRule
from zip_toys import MIB, npz_of_zeros

NUMBER_RULE, TEST_RULE = HeldOutRule.NUMBER_DIVISIBLE_BY_10, HeldOutRule.TEST_SET
SIZE = 8
CELEBA_SHARE = 148 / 178


def load(source: Path | str, rule: HeldOutRule = NUMBER_RULE) -> ImageData:
    tiny = Architecture(latent_size=2, base_size=4, channels=(4, 2), strides=(2, 1))
    recipe = replace(RECIPES["vae-celeba"], architecture=tiny, batch_size=2, held_out=rule)
    return load_images(str(source), recipe, ignore_progress)


def flat_image(value: int, size: int = SIZE) -> NDArray[np.uint8]:
    """Whatever is cropped from it or made of it, its pixels keep this value."""
    return np.full((size, size, 3), value, np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def faces(numbers: range) -> dict[str, bytes]:
    return {f"{number:06d}.png": png(flat_image(number)) for number in numbers}


def values(images: NDArray[np.uint8]) -> list[int]:
    assert images.shape[1:] == (SIZE, SIZE, 3)
    return [int(image.min()) for image in images]


def test_a_folder_is_split_by_the_number_in_each_name(tmp_path: Path) -> None:
    data = load(write_folder(tmp_path / "faces", faces(range(1, 32))))

    assert values(data.held_out) == [10, 20, 30]
    assert values(data.training) == [n for n in range(1, 32) if n % 10]
    assert data.held_out_names == ("000010.png", "000020.png", "000030.png")
    assert len(data.training_names) == len(data.training)
    assert (data.description.trained_on, data.description.held_out) == (28, 3)
    assert (data.description.name, data.description.kind) == ("faces", "folder")


def test_a_zip_holds_the_same_images_as_its_folder(tmp_path: Path) -> None:
    files = faces(range(1, 22))
    from_folder = load(write_folder(tmp_path / "faces", files))
    from_zip = load(write_zip(tmp_path / "faces.zip", files))

    assert from_zip.description.kind == "zip"
    assert from_zip.description.digest == from_folder.description.digest


def test_hidden_files_and_other_files_are_no_images(tmp_path: Path) -> None:
    clutter = {"notes.txt": b"", "__MACOSX/._000001.png": b"", ".thumbs/1.png": b""}

    data = load(write_folder(tmp_path, faces(range(1, 5)) | clutter))

    assert (data.description.trained_on, data.description.skipped) == (4, 0)


def test_an_npz_is_numbered_by_position_from_one(tmp_path: Path) -> None:
    images = np.stack([flat_image(n) for n in range(1, 21)])
    np.savez(tmp_path / "faces.npz", images=images)
    np.savez(tmp_path / "planes.npz", images=images.transpose(0, 3, 1, 2))

    data = load(tmp_path / "faces.npz")

    assert values(data.held_out) == [10, 20]
    assert load(tmp_path / "planes.npz").description.digest == data.description.digest


def test_an_array_called_test_is_held_out_of_an_npz(tmp_path: Path) -> None:
    images = np.stack([flat_image(n) for n in range(5)])
    np.savez(tmp_path / "split.npz", train=images, test=images[:2])

    data = load(tmp_path / "split.npz", TEST_RULE)

    assert (values(data.training), values(data.held_out)) == ([0, 1, 2, 3, 4], [0, 1])


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 8, 8, 3), np.float32), np.zeros((3, 8, 8), np.uint8), np.array(["a", None])],
    ids=["float", "grey", "objects"],
)
def test_an_npz_of_anything_but_images_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.savez(tmp_path / "odd.npz", images=array)

    with pytest.raises(DataError, match=r"images must be uint8|cannot be read"):
        load(tmp_path / "odd.npz")


@pytest.mark.parametrize(
    ("name", "position", "rule", "expected"),
    [
        ("000010.jpg", 0, NUMBER_RULE, True),
        ("000011.jpg", 9, NUMBER_RULE, False),
        ("2024/face_7_30.jpg", 0, NUMBER_RULE, True),
        ("100/face7.jpg", 0, NUMBER_RULE, False),
        ("face.jpg", 9, NUMBER_RULE, True),
        ("face.jpg", 10, NUMBER_RULE, False),
        ("cifar10/test/cat/0001.jpg", 0, TEST_RULE, True),
        ("cifar10/train/cat/0010.jpg", 0, TEST_RULE, False),
        ("train/test.jpg", 0, TEST_RULE, False),
    ],
)
def test_held_out_rule(name: str, position: int, rule: HeldOutRule, expected: bool) -> None:
    assert is_held_out(name, position, rule) is expected


def test_damaged_images_are_named_counted_and_skipped(tmp_path: Path) -> None:
    whole = png(flat_image(0, 64))
    bad = {
        "000002.png": whole[: len(whole) // 2],
        "000003.jpg": b"not an image",
        "000004.png": b"",
    }

    data = load(write_zip(tmp_path / "faces.zip", faces(range(5, 12)) | bad))

    assert [image.name for image in data.skipped] == sorted(bad)
    assert all(image.reason for image in data.skipped)
    assert (data.description.skipped, data.description.trained_on) == (3, 6)


def test_a_member_that_fails_its_checksum_is_skipped(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "faces.zip", faces(range(1, 6)))
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(content)

    assert [image.name for image in load(path).skipped] == ["000001.png"]


def test_an_unreadable_file_of_a_folder_is_skipped(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, faces(range(1, 6)))
    (folder / "000006.png").symlink_to(folder / "nowhere")

    (skipped,) = load(folder).skipped

    assert (skipped.name, skipped.reason) == ("000006.png", "No such file or directory")


@pytest.mark.parametrize("content", [{}, {"readme.txt": b"none"}])
def test_a_folder_or_zip_without_images_is_an_error(
    tmp_path: Path, content: dict[str, bytes]
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()

    for source in (write_folder(folder, content), write_zip(tmp_path / "empty.zip", content)):
        with pytest.raises(EmptyDataError, match=f"{source.name}' holds no images"):
            load(source)


def test_only_damaged_images_are_an_error_that_names_the_first(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"1.png": b"x", "2.png": b"y"})

    with pytest.raises(EmptyDataError, match=r"none of the 2 images .* the first, '1.png'"):
        load(folder)


def test_fewer_images_than_a_batch_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 training images .* batch_size is 2"):
        load(write_folder(tmp_path, faces(range(1, 2))))


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="nowhere' does not exist"):
        load(tmp_path / "nowhere")


def test_a_small_npz_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    npz_of_zeros(tmp_path / "faces.npz", MIB, said=1100 * MIB)
    with pytest.raises(DataError, match="it inflates to 1,153,433,600 bytes; at most"):
        load(tmp_path / "faces.npz")


@pytest.mark.parametrize("name", ["faces.zip", "faces.npz", "cifar-10-python.tar.gz", "faces.txt"])
def test_a_file_that_is_not_what_its_name_says_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something else")

    with pytest.raises(DataError, match=f"'{name}'"):
        load(tmp_path / name)


def write_cifar10(path: Path, batches: dict[str, object]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, batch in batches.items():
            content = pickle.dumps(batch, protocol=2)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def cifar10_batches() -> dict[str, object]:
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    return {
        name: {b"data": np.full((2, 3072), i, np.uint8), b"labels": [0, 1]}
        for i, name in enumerate(names, 1)
    }


def test_cifar10_archive_holds_out_its_test_batch(tmp_path: Path) -> None:
    data = load(write_cifar10(tmp_path / "cifar-10-python.tar.gz", cifar10_batches()), TEST_RULE)

    assert values(data.training) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert values(data.held_out) == [6, 6]


def test_cifar10_archive_keeps_its_colours_and_rows_apart(tmp_path: Path) -> None:
    planes = np.arange(3072, dtype=np.uint16).astype(np.uint8).reshape(1, 3072)
    batches = cifar10_batches() | {"data_batch_1": {b"data": planes}}
    path = write_cifar10(tmp_path / "cifar-10-python.tar.gz", batches)
    recipe = replace(RECIPES["vae-cifar10"], batch_size=2)

    first = load_images(str(path), recipe, ignore_progress).training[0]

    np.testing.assert_array_equal(first, planes.reshape(3, 32, 32).transpose(1, 2, 0))


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_in_a_cifar10_archive_cannot_run_code(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    batches = cifar10_batches() | {"test_batch": Malicious(mark)}
    path = write_cifar10(tmp_path / "cifar-10-python.tar.gz", batches)

    with pytest.raises(DataError, match=r"'test_batch' .* asks for posix\.mkdir"):
        load(path)
    assert not mark.exists()


def test_a_cifar10_archive_without_a_batch_is_refused(tmp_path: Path) -> None:
    batches = cifar10_batches()
    del batches["data_batch_3"]

    with pytest.raises(DataError, match="it lacks data_batch_3"):
        load(write_cifar10(tmp_path / "cifar-10-python.tar.gz", batches))


@pytest.mark.skipif(find_spec("datasets") is not None, reason="the datasets library is installed")
def test_a_hugging_face_data_set_without_the_library_names_the_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'graftscope\[datasets\]'"):
        load("hf:somebody/faces")


@pytest.mark.parametrize(
    ("width", "height", "left", "top", "side"),
    [(178, 218, 15, 35, 148), (89, 109, 7, 17, 74), (100, 50, 25, 0, 50)],
    ids=["official size", "half size", "landscape"],
)
def test_the_centre_is_cut_from_an_image_that_is_not_square(
    width: int, height: int, left: int, top: int, side: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

    # At the size of the cut nothing is resized, so it must be found in the image.
    cut = decode_image(png(pixels), size=side, crop_share=CELEBA_SHARE)

    np.testing.assert_array_equal(cut, pixels[top : top + side, left : left + side])


def test_a_square_image_of_the_right_size_is_taken_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)

    taken = decode_image(png(pixels), size=64, crop_share=CELEBA_SHARE)

    np.testing.assert_array_equal(taken, pixels)


def test_a_grey_image_gets_three_equal_colours() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), np.uint8)

    taken = decode_image(png(grey), size=SIZE, crop_share=1.0)

    np.testing.assert_array_equal(taken, np.stack([grey] * 3, axis=-1))


def test_worker_processes_decode_the_same_in_the_same_order() -> None:
    encoded = [png(flat_image(i % 256)) for i in range(600)]
    encoded[300] = b"damaged"

    alone, in_workers = (
        list(decode_all(iter(encoded), count, size=SIZE, crop_share=1.0))
        for count in (len(encoded), 1_000_000)
    )

    assert isinstance(in_workers[300], UnreadableImage)
    assert in_workers.pop(300) == alone.pop(300)
    np.testing.assert_array_equal(np.asarray(in_workers), np.asarray(alone))


def test_decoding_reports_until_all_is_done(tmp_path: Path) -> None:
    reports: list[TrainProgress] = []
    folder = write_folder(tmp_path, faces(range(1, 9)))
    recipe = replace(RECIPES["vae-celeba"], batch_size=2)

    load_images(str(folder), recipe, reports.append)

    assert [(r.stage, r.step, r.steps) for r in reports] == [(Stage.DECODING, 8, 8)]


@pytest.mark.skipif("GRAFTSCOPE_DATA" not in os.environ, reason="GRAFTSCOPE_DATA is not set")
def test_the_crop_of_real_aligned_faces_agrees_with_prepared_ones() -> None:
    folder = Path(os.environ["GRAFTSCOPE_DATA"])
    recipe = RECIPES["vae-celeba"]

    sample = load_images(
        str(folder / "img_align_celeba_sample.zip"), recipe, ignore_progress
    ).training
    with zipfile.ZipFile(folder / "celeba64.zip") as archive:
        prepared = [
            np.asarray(Image.open(io.BytesIO(archive.read(f"celeba64/{n:06d}.jpg"))))
            for n in (1, 2, 3)
        ]

    # The sample has half the official size, so fine detail differs (by 1.8 on average); a crop
    # of 0.9 of the width would differ by 19.
    error = np.abs(sample[:3].astype(float) - np.stack(prepared)).mean()
    assert error < 4


def test_sixteen_bits_give_the_pixels_of_eight() -> None:
    ramp = np.linspace(0, 65535, SIZE * SIZE).reshape(SIZE, SIZE)
    deep = png(np.rint(ramp).astype(np.uint16))
    flat = png(np.rint(ramp / 257).astype(np.uint8))

    found, expected = (decode_image(each, size=SIZE, crop_share=1.0) for each in (deep, flat))

    assert isinstance(found, np.ndarray)
    assert isinstance(expected, np.ndarray)
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)


@pytest.mark.parametrize(("dtype", "kind"), [(np.int32, "32-bit int"), (np.float32, "floating")])
def test_pixels_of_an_unknown_range_are_unreadable_with_a_reason(dtype: type, kind: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.ones((SIZE, SIZE), dtype)).save(stream, "TIFF")

    decoded = decode_image(stream.getvalue(), size=SIZE, crop_share=1.0)

    assert isinstance(decoded, UnreadableImage)
    assert kind in decoded.reason


def test_an_npz_that_claims_more_rows_than_memory_holds_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 64, 64, 3)}
    np.lib.format.write_array_header_1_0(header, claim)
    path = write_zip(tmp_path / "huge.npz", {"images.npy": header.getvalue()})

    with pytest.raises(DataError, match=r"'huge\.npz' cannot be read as an \.npz"):
        load(path)
