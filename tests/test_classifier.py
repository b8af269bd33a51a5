"""Classifiers that are trained here: what they learn, how they are scored, and their one file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graftscope.bundle import ImageLayout, Preprocessing
from graftscope.exporter import TargetExistsError, train_classifier
from graftscope.exporter._classifier import card_of
from graftscope.sandbox import KnownModels, Limits, Sandbox
from graftscope.server.engine import Device, Reads, SessionPool, open_network
from graftscope.training.classifier import Classifier, ClassifierNetwork, FeatureTask, _learning
from graftscope.training.errors import FeaturesError
from graftscope.training.quality._labels import Labelled

SIDE = 32
SHADES = {"bird": 40, "frog": 210}
"""Two of CIFAR-10's classes, as dark and as bright images."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads would spend longer waiting for each other than such small networks compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draws, folder = np.random.default_rng(0), tmp_path_factory.mktemp("things", numbered=False)
    for part, count in (("train", 48), ("test", 5)):
        for name, shade in SHADES.items():
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(draws.normal(shade, 20, (SIDE, SIDE, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, Path]:
    out = tmp_path_factory.mktemp("out") / "shades.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_learning, "BATCH", 16)
        return train_classifier("cifar10", images, out, epochs=3), out


def test_a_classifier_tells_images_apart_that_it_never_saw(
    trained: tuple[Classifier, Path],
) -> None:
    classifier, _ = trained
    told = {each.name: each for each in classifier.told}
    assert (classifier.trained_on, classifier.held_out) == (96, 10)
    assert {name: told[name].held_out for name in SHADES} == {"bird": 5, "frog": 5}
    assert [told[name].accuracy for name in SHADES] == [1, 1]
    assert np.isnan(told["cat"].accuracy)


def test_its_file_says_itself_what_it_takes_and_gives(trained: tuple[Classifier, Path]) -> None:
    classifier, out = trained
    pool, sandbox = SessionPool(Device.CPU, limit=2), Sandbox(Limits(sandbox=False))
    features, scores = (
        open_network(out, pool, (3, SIDE, SIDE), reads=reads, sandbox=sandbox) for reads in Reads
    )
    shades = np.array(list(SHADES.values()), np.float32).reshape(2, 1, 1, 1)
    pictures = np.broadcast_to(shades, (2, 3, SIDE, SIDE))

    with torch.inference_mode():
        wanted = classifier.network(torch.from_numpy(pictures / 127.5 - 1))
    for network, each in zip((features, scores), wanted, strict=True):
        np.testing.assert_allclose(network(pictures, 0, 255), each, atol=1e-4)
    best = scores(pictures, 0, 255).argmax(1)
    assert [scores.classes[i] for i in best] == list(SHADES)
    assert scores.exclusive
    assert features.features == 64
    assert scores.form.preprocessing == Preprocessing(
        low=-1, high=1, height=SIDE, width=SIDE, layout=ImageLayout.NCHW
    )


def test_its_card_has_data_accuracy_and_the_command(trained: tuple[Classifier, Path]) -> None:
    card = card_of(trained[1]).read_text()
    assert "| frog | 5 | 1.000 |" in card
    assert "Held out, never trained on: the data set's own test images (10 with labels)." in card
    assert "graftscope train-classifier cifar10 --data things --out shades.onnx --epochs 3" in card


def test_files_that_are_there_are_not_replaced(
    trained: tuple[Classifier, Path], images: Path
) -> None:
    with pytest.raises(TargetExistsError, match=r"shades\.onnx' exists already"):
        train_classifier("cifar10", images, trained[1])
    with pytest.raises(TargetExistsError, match=r"a classifier is a file NAME\.onnx"):
        train_classifier("cifar10", images, trained[1].parent / "folder")


def test_images_without_labels_are_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(FeaturesError, match=r"list_attr_celeba\.txt"):
        train_classifier("celeba", images, tmp_path / "faces.onnx")
    assert not list(tmp_path.iterdir())


def test_an_attributes_score_is_its_logit_less_its_log_odds() -> None:
    network = ClassifierNetwork(SIDE, 2)
    before = network.answers.bias.detach().clone()
    labels = np.zeros((10, 2), np.float32)
    labels[:2, 0] = 1  # two of ten: log-odds of log(1/4)
    labels[:5, 1] = 1

    _learning._score_evidence_alone(network, FeatureTask.CELEBA, labels)

    wanted = before + torch.tensor([np.log(4), 0])
    torch.testing.assert_close(network.answers.bias.detach(), wanted, check_dtype=False)


def test_an_attribute_is_judged_among_those_with_it_and_those_without() -> None:
    labels = np.array([[1], [1], [0], [0], [0], [0]], np.float32)
    scores = np.array([[2], [-1], [-1], [-1], [-1], [3]], np.float32)
    (told,) = _learning._told(FeatureTask.CELEBA, ("Bald",), scores, Labelled(np.arange(6), labels))
    assert told.accuracy == (1 / 2 + 3 / 4) / 2
    assert told.held_out == 2


def test_images_are_shifted_into_a_frame_in_which_their_edges_go_on() -> None:
    shift = _learning.SHIFT
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
    twice = image.repeat(2, axis=0)

    same, down = _learning._shifted(twice, np.array([[shift, shift], [0, shift]]))

    np.testing.assert_array_equal(same, image[0])
    np.testing.assert_array_equal(down[shift:], image[0, :-shift])
    np.testing.assert_array_equal(down[:shift], image[0, :1].repeat(shift, axis=0))


def test_its_file_passes_the_child_that_tries_models(trained: tuple[Classifier, Path]) -> None:
    strict = Sandbox(Limits(), KnownModels([]))
    assert open_network(
        trained[1], SessionPool(Device.CPU, limit=1), (3, SIDE, SIDE), sandbox=strict
    )
