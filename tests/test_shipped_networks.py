"""Facts about the networks that come with the package, and how well they judge real images."""

import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from graftscope.bundle import find_shipped, read_bundle, shipped_networks
from graftscope.server.engine import (
    Device,
    Generator,
    ImageNetwork,
    Reads,
    SessionPool,
    open_network,
    usual_features,
)

LARGEST_BYTES = 1_500_000
SIDES = {"celeba": 64, "cifar10": 32}
JUDGED = 200
NO_DATA = "GRAFTSCOPE_DATA is not set"

NAMES = sorted(shipped_networks())


def scores_of(name: str) -> ImageNetwork:
    side, pool = SIDES[name], SessionPool(Device.CPU, limit=1)
    return open_network(shipped_networks()[name], pool, (3, side, side), reads=Reads.SCORES)


def test_there_is_one_for_faces_and_one_for_things() -> None:
    assert sorted(SIDES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_small_names_its_scores_and_has_a_card(name: str) -> None:
    path, network = shipped_networks()[name], scores_of(name)
    assert path.stat().st_size <= LARGEST_BYTES
    assert len(network.classes) == network.features
    assert network.exclusive is (name == "cifar10")
    card = path.with_suffix(".md").read_text()
    assert "Licence" in card
    assert all(f"| {each} |" in card for each in network.classes)


def test_a_shipped_generator_is_judged_by_the_network_of_its_images() -> None:
    pool = SessionPool(Device.CPU, limit=2)
    for kind in ("vae", "gan"):
        for name in NAMES:
            generator = Generator(read_bundle(find_shipped(f"{kind}-{name}")), pool)
            for reads in Reads:
                assert usual_features(generator, pool, reads).name == repr(name)


def pictures(archive: str, names: Sequence[str]) -> NDArray[np.float32]:
    """Images (N, 3, H, W) in [0, 255]."""
    with zipfile.ZipFile(Path(os.environ["GRAFTSCOPE_DATA"]) / archive) as file:
        images = [np.asarray(Image.open(io.BytesIO(file.read(name)))) for name in names]
    return np.stack(images).astype(np.float32).transpose(0, 3, 1, 2)


@pytest.mark.skipif("GRAFTSCOPE_DATA" not in os.environ, reason=NO_DATA)
def test_faces_attributes_are_told_on_images_that_were_held_out() -> None:
    network = scores_of("celeba")
    lines = (Path(os.environ["GRAFTSCOPE_DATA"]) / "list_attr_celeba.txt").read_text().splitlines()
    rows = [line.split() for line in lines[2:]]
    held_out = [row for row in rows if int(row[0].removesuffix(".jpg")) % 10 == 0]
    labels = np.array([row[1:] for row in held_out], int) > 0
    names = [f"celeba64/{row[0]}" for row in held_out]
    says = network(pictures("celeba64.zip", names), 0, 255) > 0
    for attribute in ("Smiling", "Male", "Eyeglasses", "Blond_Hair"):
        which = network.classes.index(attribute)
        has, said = labels[:, which], says[:, which]
        assert (said[has].mean() + (~said[~has]).mean()) / 2 >= 0.88, attribute


@pytest.mark.skipif("GRAFTSCOPE_DATA" not in os.environ, reason=NO_DATA)
def test_things_classes_are_told_on_the_test_set() -> None:
    network = scores_of("cifar10")
    numbers = range(JUDGED // 10)
    names = [f"cifar10/test/{name}/{each:04}.jpg" for name in network.classes for each in numbers]
    best = network(pictures("cifar10.zip", names), 0, 255).argmax(1)
    assert (best == np.arange(10).repeat(len(numbers))).mean() >= 0.7
