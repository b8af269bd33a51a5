"""What an ONNX file of a network says of itself, and the networks that come with the package."""

import json

import pytest

from graftscope.bundle import (
    BundleNotFoundError,
    ImageLayout,
    NetworkDescription,
    NetworkError,
    Preprocessing,
    describe_network,
    find_network,
    network_for,
    shipped_networks,
)
from graftscope.v1 import bundle_pb2

TOLD = NetworkDescription(
    preprocessing=Preprocessing(
        low=0.0,
        high=255.0,
        height=224,
        width=192,
        mean=(104.0, 117.0, 123.5),
        deviation=(1.0, 2.0, 0.5),
        layout=ImageLayout.NHWC,
        bgr=True,
    ),
    features="pooled",
    scores="logits",
    classes=("cat", "dog, large"),
    exclusive=False,
)


def test_a_description_comes_back_from_a_files_metadata() -> None:
    assert describe_network(TOLD.to_metadata()) == TOLD


def test_a_file_that_says_nothing_is_described_by_nothing() -> None:
    assert describe_network({"author": "somebody"}) == NetworkDescription()
    assert NetworkDescription().to_metadata() == {}


def test_what_is_not_stated_keeps_its_default() -> None:
    metadata = {"graftscope.preprocessing": json.dumps({"mean": [0.5], "high": 255})}
    assert describe_network(metadata).preprocessing == Preprocessing(mean=(0.5,), high=255.0)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("preprocessing", "{", "graftscope.preprocessing is no JSON"),
        ("preprocessing", "[]", "must be an object with some of low, high"),
        ("preprocessing", '{"means": [0.5]}', "must be an object with some of low, high"),
        ("preprocessing", '{"height": 2.5, "width": 2}', "height may not be 2.5"),
        ("preprocessing", '{"bgr": 1}', "bgr may not be 1"),
        ("preprocessing", '{"layout": "CHWN"}', "layout may not be 'CHWN'"),
        ("preprocessing", '{"mean": ["0.5"]}', "mean may not be"),
        ("preprocessing", '{"low": 1}', "high must be above low"),
        ("preprocessing", '{"high": NaN}', "high must be above low"),
        ("preprocessing", '{"deviation": [0]}', "deviation must be above 0"),
        ("preprocessing", '{"mean": []}', "mean must be 1 to 4 numbers"),
        ("preprocessing", '{"height": 224}', "width must be given where height is"),
        ("preprocessing", '{"height": -1, "width": 1}', "height must be at least 0"),
        ("classes", '{"cat": 0}', "must be a list of names"),
        ("exclusive", "perhaps", "must be true or false"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused(key: str, text: str, said: str) -> None:
    with pytest.raises(NetworkError, match=said):
        describe_network({f"graftscope.{key}": text})


def test_an_unknown_network_is_refused_with_those_that_there_are() -> None:
    known = ", ".join(shipped_networks()) or "none"
    with pytest.raises(BundleNotFoundError, match=f"no network 'nine' .* there are: {known}"):
        find_network("nine")


@pytest.mark.parametrize(
    ("data", "recipe", "known"),
    [
        ("CelebA (celeba64.zip)", "vae-celeba", "celeba"),
        ("CIFAR-10 (cifar10.zip)", "vae-cifar10", "cifar10"),
        ("CIFAR-10", "cgan-cifar10", "cifar10"),
        ("CIFAR-100", "a PyTorch module", None),
        ("my holidays", "an ONNX file", None),
    ],
)
def test_a_generator_is_judged_by_the_network_of_its_images(
    data: str, recipe: str, known: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    there_are = dict.fromkeys(("celeba", "cifar10"))
    monkeypatch.setattr("graftscope.bundle._networks.shipped_networks", lambda: there_are)
    provenance = bundle_pb2.Provenance(data=data, recipe=recipe)
    assert network_for(bundle_pb2.Bundle(provenance=provenance)) == known
