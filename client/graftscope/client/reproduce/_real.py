"""Real images that no generator was trained on, as the originals of the VAEs (section 4).

The rule of the data split is the project's: CelebA images whose number is divisible by 10, and
CIFAR-10's own test images. It must not know how images are used.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.client._models import Model
from graftscope.client._pixels import ReadImages, read_images
from graftscope.client.errors import InputError, NotFoundError

ARCHIVES = {"celeba": "celeba64.zip", "cifar10": "cifar10.zip"}
"""The names under which a folder holds the images of each data set."""

_EVERY = 10
_TEST_FOLDER = "test"
_NUMBER = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True)
class RealImages:
    """Where real images are.

    Args:
        path: A folder that holds `ARCHIVES`, or one archive or folder of images.
    """

    path: Path

    def held_out(self, model: Model) -> NDArray[np.uint8]:
        """Read the images that the model was not trained on.

        Args:
            model: A generator trained by one of the recipes.

        Returns:
            (N, H, W, c) uint8.

        Raises:
            NotFoundError: If there are no images of the model's data set.
            InputError: If none of them is held out.
        """
        data_set = data_set_of(model.name)
        read = read_images(self._place(data_set), model.image, chosen=_RULES[data_set])
        return _some(read, data_set, self.path)

    def _place(self, data_set: str) -> Path:
        if not self.path.exists():
            raise NotFoundError(f"--data {self.path}: there is nothing")
        named = self.path / ARCHIVES[data_set]
        if named.exists():
            return named
        if self.path.is_dir() and any((self.path / name).exists() for name in ARCHIVES.values()):
            raise NotFoundError(f"--data {self.path} has no {ARCHIVES[data_set]}")
        return self.path


def data_set_of(model: str) -> str:
    """Tell which data set a model that comes with the package was trained on."""
    return "cifar10" if "cifar10" in model else "celeba"


def _some(read: ReadImages, data_set: str, path: Path) -> NDArray[np.uint8]:
    if not len(read.images):
        raise InputError(
            f"--data {path} holds no held-out image of {data_set}: those are images whose number is"
            " divisible by 10 (celeba), or in a folder named test (cifar10)"
        )
    return read.images


def _is_divisible(name: str) -> bool:
    found = _NUMBER.search(Path(name).stem)
    return found is not None and int(found.group(1)) % _EVERY == 0


def _is_test(name: str) -> bool:
    return _TEST_FOLDER in Path(name).parts[:-1]


_RULES = {"celeba": _is_divisible, "cifar10": _is_test}
