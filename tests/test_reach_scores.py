"""What few latents and few channels reach of a network's scores, on a server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graftscope.client import Client
from graftscope.client.errors import GraftscopeError
from graftscope.client.values import ImageNetwork, Preprocessing
from reach_toys import (
    PAIRS,
    SEED,
    WIDTH,
    Doubles,
    Effect,
    expected,
    looker,
    painter_bundle,
)

# Images are float32.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painter_bundle(tmp_path_factory.mktemp("painter"))


@pytest.fixture(scope="module")
def client(painter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(bundles=[painter], state=tmp_path_factory.mktemp("state"), workers=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> ImageNetwork:
    """Sees quarter 1, in the generator's own units."""
    path = looker(tmp_path_factory.mktemp("looker") / "looker.onnx", area=1)
    as_they_are = Preprocessing(low=-WIDTH / 2, high=WIDTH / 2)
    classes = ("bright", "dark", "neither")
    return ImageNetwork(file=path, preprocessing=as_they_are, classes=classes, title="looker")


def brightness(first: Doubles, second: Doubles, hybrid: Doubles) -> Doubles:
    change = np.asarray((hybrid - first)[:, 1])
    return change * np.sign(second - first)[:, 1]


def probability(first: Doubles, second: Doubles, hybrid: Doubles) -> Doubles:
    def dark(channels: Doubles) -> Doubles:
        seen = channels[:, 1]
        scores = np.exp(np.stack([seen, -seen, 0 * seen]))
        return np.asarray(scores[1] / scores.sum(axis=0))

    before = dark(first)
    return (dark(hybrid) - before) * np.sign(dark(second) - before)


@pytest.mark.parametrize(
    ("target", "effect"), [("attribute", brightness), ("of_class", probability)]
)
def test_the_channel_of_the_corner_that_a_classifier_looks_at_reaches_all(
    client: Client, classifier: ImageNetwork, target: str, effect: Effect
) -> None:
    name = {"attribute": "bright", "of_class": "dark"}[target]
    asked: dict[str, Any] = {target: name}
    result = client.reach("painter", classifier=classifier, pairs=PAIRS, seed=SEED, **asked)
    assert result.order[1, 0] == 1
    np.testing.assert_allclose(result.share[1], 1.0, atol=TOLERANCE)
    order, shares, reachable = expected("latents", effect)
    assert result.order[0].tolist() == order
    np.testing.assert_allclose(result.share[0], shares, atol=TOLERANCE)
    np.testing.assert_allclose(result.reachable, reachable, atol=TOLERANCE)
    assert result.spill is None
    assert name in result.target
    assert "looker" in result.target


def test_a_class_that_a_network_does_not_have_is_refused_with_those_that_it_has(
    client: Client, classifier: ImageNetwork
) -> None:
    with pytest.raises(GraftscopeError, match=r"'ship'.*bright, dark, neither"):
        client.reach("painter", attribute="ship", classifier=classifier)
