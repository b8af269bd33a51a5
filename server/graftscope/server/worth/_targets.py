"""What is to be changed: a region of the image, or a network's score; and how much a hybrid does.

It must not know which units are swapped.

Axes: B pairs, (c, H, W) the image, Q quantities.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from graftscope.server.analysis import are_probabilities
from graftscope.server.worth._making import Images, Making
from graftscope.server.worth._probe import Classifier

Doubles: TypeAlias = NDArray[np.float64]

ScoreOf: TypeAlias = Callable[[Images], Doubles]
"""One score of each image, (B, c, H, W) to (B,)."""


class Target(Protocol):
    """What is to be changed."""

    @property
    def told(self) -> str:
        """In words."""

    @property
    def quantities(self) -> int:
        """Q: 1, the effect; or 2, and beside it the change outside of the target."""

    def directions(self, making: Making, pairs: range) -> Doubles:
        """Which way an effect counts in each pair, 1 or -1, 0 where there is nothing to change."""

    def look(self, images: Images, /) -> None:
        """Does with hybrids (B, c, H, W) what measuring one takes, to be timed."""

    def seen(self, original1: Images, directions: Doubles) -> Callable[[Images], Doubles]:
        """What measures hybrids of some pairs, (B, c, H, W) to (Q, B).

        Args:
            original1: Of these pairs.
            directions: (B,) of them.
        """


@dataclass(frozen=True, eq=False)
class RegionTarget:
    """A part of the image: the mean of |hybrid - original 1| inside it.

    Attributes:
        region: (H, W) how far each pixel is inside, 0 to 1; something is.
        width: Of the image's range, of which effects are shares.
    """

    region: Doubles
    width: float
    quantities: int = 2

    @property
    def told(self) -> str:
        """As `Target`."""
        return f"a region of {100 * self.region.mean():.3g} % of the image"

    def directions(self, making: Making, pairs: range) -> Doubles:
        """As `Target`: any change counts."""
        return np.ones(len(pairs))

    def look(self, images: Images) -> None:
        """As `Target`."""
        self.seen(images, np.ones(len(images)))(images)

    def seen(self, original1: Images, directions: Doubles) -> Callable[[Images], Doubles]:
        """As `Target`; the second is the sum outside over the number of pixels inside."""
        area = self.region.sum()

        def measured(hybrid: Images) -> Doubles:
            change = np.abs(hybrid.astype(np.float64) - original1).mean(axis=1)  # (B, H, W)
            inside = np.einsum("bhw,hw->b", change, self.region)
            outside = change.sum(axis=(1, 2)) - inside
            both = np.stack([inside, outside])  # (2, B)
            return np.asarray(both / (area * self.width))

        return measured


@dataclass(frozen=True, eq=False)
class NetworkScore:
    """One score of a network, or its probability.

    A probability is the softmax of the scores where an image is of exactly one class, and else the
    logistic function of the one; a network that gives probabilities already is believed.

    Attributes:
        network: Gives scores.
        place: Which of them.
        image_range: Of the images that it is given.
        probability: Whether the probability is meant.
    """

    network: Classifier
    place: int
    image_range: tuple[float, float]
    probability: bool

    def __call__(self, images: Images) -> Doubles:
        """As `ScoreOf`."""
        scores = self.network(images, *self.image_range).astype(np.float64)
        exclusive = self.network.exclusive
        if self.probability and not are_probabilities(scores, exclusive=exclusive):
            scores = softmax(scores, axis=1) if exclusive else expit(scores)
        return np.asarray(scores[:, self.place])


@dataclass(frozen=True, eq=False)
class ScoreTarget:
    """A network's score of a class or an attribute: how far it goes towards original 2's.

    Attributes:
        told: In words.
        score: Of images.
    """

    told: str
    score: ScoreOf
    quantities: int = 1

    def directions(self, making: Making, pairs: range) -> Doubles:
        """As `Target`: towards original 2."""
        first, second = (self.score(images) for images in making.originals(pairs))
        directions: Doubles = np.sign(second - first)
        return directions

    def look(self, images: Images) -> None:
        """As `Target`."""
        self.score(images)

    def seen(self, original1: Images, directions: Doubles) -> Callable[[Images], Doubles]:
        """As `Target`."""
        before = self.score(original1)

        def measured(hybrid: Images) -> Doubles:
            change = (self.score(hybrid) - before) * directions
            return np.asarray(change[np.newaxis])

        return measured
