"""Real images that no generator was trained on, as the originals of the VAEs (section 4).

The rule of the data split is the project's: CelebA images whose number is divisible by 10, and
CIFAR-10's own test images. It must not know how images are used.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.client.errors import InputError, NotFoundError
from graftscope.client.models import Model
from graftscope.client.pictures import read_images

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
            InputError: If none of them is held out, or one of those cannot be read.
        """
        data_set = data_set_of(model.name)
        place, rule = self._place(data_set), _RULES[data_set]
        try:
            read = read_images(place, model.image, chosen=rule.holds)
        except InputError as error:
            raise InputError(
                f"--data {self.path} gives no held-out image of {data_set} ({rule.words}): {error}"
            ) from error
        if read.skipped:
            raise InputError(
                f"--data {self.path}: {len(read.skipped)} held-out images of {data_set} cannot be"
                f" read: {read.skipped[0]}"
            )
        return read.images

    def check(self) -> None:
        """Make sure that there is something.

        Raises:
            NotFoundError: If there is not.
        """
        if not self.path.exists():
            raise NotFoundError(
                f"--data {self.path}: there is no such file or folder; it takes a folder with "
                f"{' and '.join(ARCHIVES.values())}, or one of them"
            )

    def _place(self, data_set: str) -> Path:
        self.check()
        named = self.path / ARCHIVES[data_set]
        if named.exists():
            return named
        # The rule of one data set would take images of another for its own.
        others = {Path(name).stem for each, name in ARCHIVES.items() if each != data_set}
        held = {file.stem for file in self.path.iterdir()} if self.path.is_dir() else set()
        if others & {self.path.stem, *held}:
            raise NotFoundError(
                f"--data {self.path} has no images of {data_set}: name {ARCHIVES[data_set]}, or a "
                "folder that holds it"
            )
        return self.path


def data_set_of(model: str) -> str:
    """Tell which data set a model that comes with the package was trained on."""
    return "cifar10" if "cifar10" in model else "celeba"


@dataclass(frozen=True)
class _Rule:
    """Which images are held out."""

    holds: Callable[[str], bool]
    words: str


def _is_divisible(name: str) -> bool:
    found = _NUMBER.search(Path(name).stem)
    return found is not None and int(found.group(1)) % _EVERY == 0


def _is_test(name: str) -> bool:
    return _TEST_FOLDER in Path(name).parts[:-1]


_RULES = {
    "celeba": _Rule(_is_divisible, "those whose number is divisible by 10"),
    "cifar10": _Rule(_is_test, "those in a folder named test"),
}
