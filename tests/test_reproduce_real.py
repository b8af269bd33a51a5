"""Real images of a study: those that no generator was trained on, and no others."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftscope.client import errors
from graftscope.client.models import ImageFormat, Model
from graftscope.client.reproduce import RealImages


def model(name: str = "vae-celeba") -> Model:
    """As much of a model as reading images needs."""
    return Model(name, "0" * 64, (), ImageFormat(3, 8, 8, -1.0, 1.0), (), True, {})


def png(value: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def fill(place: Path, names: dict[str, int]) -> Path:
    """Write grey images by their names; into a zip if the place's name ends so."""
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as archive:
            for name, value in names.items():
                archive.writestr(name, png(value))
        return place
    for name, value in names.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(png(value))
    return place


def greys(images: np.ndarray) -> list[int]:
    assert (images == images[:, :1, :1, :1]).all()
    return [int(value) for value in images[:, 0, 0, 0]]


FACES = {"faces/000001.png": 1, "faces/000010.png": 10, "faces/000011.png": 11, "faces/20.png": 20}
OBJECTS = {
    "cifar10/train/cat/0010.png": 1,
    "cifar10/test/cat/0001.png": 2,
    "cifar10/test/dog/0010.png": 3,
}


@pytest.mark.parametrize("place", ["celeba64.zip", "faces.zip", "faces"])
def test_faces_held_out_are_those_whose_number_is_divisible_by_ten(
    place: str, tmp_path: Path
) -> None:
    path = fill(tmp_path / place, FACES | {"faces/readme.png": 99})
    assert greys(RealImages(path).held_out(model())) == [10, 20]


@pytest.mark.parametrize("place", ["cifar10.zip", "objects.zip", "objects"])
def test_objects_held_out_are_those_of_the_test_set(place: str, tmp_path: Path) -> None:
    path = fill(tmp_path / place, OBJECTS)
    assert greys(RealImages(path).held_out(model("vae-cifar10"))) == [2, 3]


def test_a_folder_of_both_archives_gives_each_model_its_own(tmp_path: Path) -> None:
    fill(tmp_path / "celeba64.zip", FACES)
    fill(tmp_path / "cifar10.zip", OBJECTS)
    real = RealImages(tmp_path)
    assert greys(real.held_out(model("vae-celeba-beta10"))) == [10, 20]
    assert greys(real.held_out(model("vae-cifar10"))) == [2, 3]


@pytest.mark.parametrize("place", ["cifar10.zip", "cifar10"])
@pytest.mark.parametrize("inside", [False, True])
def test_objects_never_stand_in_for_faces(place: str, inside: bool, tmp_path: Path) -> None:
    path = fill(tmp_path / place, OBJECTS)
    with pytest.raises(errors.NotFoundError, match=r"no images of celeba: name celeba64\.zip"):
        RealImages(tmp_path if inside else path).held_out(model())


def test_a_source_without_held_out_images_is_refused_with_the_rule(tmp_path: Path) -> None:
    path = fill(tmp_path / "faces.zip", {"000001.png": 1})
    with pytest.raises(errors.InputError, match=r"no held-out image of celeba \(.*divisible by 10"):
        RealImages(path).held_out(model())
    with pytest.raises(errors.InputError, match=r"of cifar10 .*folder named test"):
        RealImages(path).held_out(model("vae-cifar10"))


def test_a_held_out_image_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    folder = fill(tmp_path / "faces", FACES)
    (folder / "30.png").write_bytes(b"no image")
    with pytest.raises(errors.InputError, match=r"1 held-out images? of celeba cannot.* 30\.png"):
        RealImages(folder).held_out(model())


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFoundError, match=r"nowhere: there is no such file or folder"):
        RealImages(tmp_path / "nowhere").held_out(model())
