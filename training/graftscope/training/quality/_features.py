"""A small network whose last hidden layer says what matters in an image, and its one file.

Shapes: B batch, C channels, F features, A answers, H and W pixels.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from graftscope.training._files import from_plain, read_tensors, to_plain, write_tensors
from graftscope.training.data import DataDescription
from graftscope.training.errors import CheckpointError, FeaturesError
from graftscope.training.networks import ConvolutionStage
from graftscope.training.quality._labels import FeatureTask
from graftscope.training.recipes import HeldOutRule, Recipe

CHANNELS: Final = (32, 64, 128, 128)
FEATURES: Final = CHANNELS[-1]
"""Length of the vector of features, F."""

_KERNEL: Final = 3
# Images of this side or less are seen by the first convolution at every pixel.
_FULL_SIZE: Final = 32


FORMAT: Final = 1

_METADATA: Final = "graftscope-features"


class FeatureNetwork(nn.Module):
    """Images to one logit for every class or attribute, through a vector of features."""

    def __init__(self, image_size: int, answers: int) -> None:
        """Build the network for images of one size in pixels and a number of answers, A."""
        super().__init__()
        strides = (max(1, image_size // _FULL_SIZE), *(2 for _ in CHANNELS[1:]))
        steps = zip(pairwise((3, *CHANNELS)), strides, strict=True)
        self.stages = nn.Sequential(
            *(
                ConvolutionStage(*pair, _KERNEL, stride, leak=0.0, normalise=True)
                for pair, stride in steps
            )
        )
        self.answers = nn.Linear(FEATURES, answers)

    def features(self, image: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [-1, 1] to features (B, F), each at least 0."""
        maps: Tensor = self.stages(image)
        return maps.mean((2, 3))  # (B, F, H, W) -> (B, F)

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [-1, 1] to logits (B, A)."""
        logits: Tensor = self.answers(self.features(image))
        return logits


@dataclass(frozen=True)
class FeatureConfig:
    """What a feature network was trained for, on and with which success.

    Attributes:
        task: What it tells.
        answers: The classes or attributes that it tells.
        image_size: Height and width in pixels of the images that it takes.
        data: The images, of which those with labels were used.
        trained_on: Number of labelled images trained on.
        held_out: Number of labelled images, never trained on, behind the accuracy.
        accuracy: Share of held-out images told correctly, in [0, 1]: of each class's images, mean
            over classes; or of all images, mean over attributes.
        commonest_accuracy: The same of a network that always tells what is commonest among the
            images trained on.
        epochs: How often each image was seen.
        seed: Seed of weights, order and mirroring.
    """

    task: FeatureTask
    answers: tuple[str, ...]
    image_size: int
    data: DataDescription
    trained_on: int
    held_out: int
    accuracy: float
    commonest_accuracy: float
    epochs: int
    seed: int


@dataclass(frozen=True)
class Features:
    """A feature network.

    Attributes:
        network: On the CPU, in float32 and evaluation mode.
        config: What it is.
        digest: sha256 of its file in hex; distances through networks with different digests
            cannot be compared.
    """

    network: FeatureNetwork
    config: FeatureConfig
    digest: str


def write_features(path: Path, network: FeatureNetwork, config: FeatureConfig) -> Features:
    """Write a network as one safetensors file, and read it back.

    Raises:
        FeaturesError: If the file cannot be written.
    """
    plain = to_plain(config)
    assert isinstance(plain, dict)
    # One entry, because several have no fixed order: the same network is to be the same bytes.
    metadata = {_METADATA: json.dumps({"format": FORMAT, **plain})}
    try:
        write_tensors(path, network.state_dict(), metadata)
    except OSError as error:
        raise FeaturesError(f"cannot write {str(path)!r}: {error.strerror}") from error
    return read_features(path)


def read_features(path: Path) -> Features:
    """Read a network.

    Raises:
        FeaturesError: If the file is damaged, or of another kind or format.
    """
    try:
        tensors, metadata = read_tensors(path)
    except CheckpointError as error:
        raise FeaturesError(str(error)) from error
    plain = _described(path, metadata)
    try:
        config = from_plain(FeatureConfig, plain)
        network = FeatureNetwork(config.image_size, len(config.answers))
        network.load_state_dict(tensors)
    except (ValueError, RuntimeError) as error:
        raise FeaturesError(f"{str(path)!r} is damaged: {error}") from error
    return Features(network.eval(), config, sha256(path.read_bytes()).hexdigest())


def require_fitting(features: Features, task: FeatureTask, recipe: Recipe, path: Path) -> None:
    """Refuse a network for other images than a recipe's.

    Raises:
        FeaturesError: If the task, the size or the rule of the held-out images is another one.
    """
    config = features.config
    has = (config.task, config.image_size, config.data.held_out_rule)
    needed = (task, recipe.architecture.image_size, recipe.held_out)
    if has != needed:
        raise FeaturesError(
            f"the feature network {str(path)!r} is for {_in_words(*has)}; this generator needs one "
            f"for {_in_words(*needed)}"
        )


def _in_words(task: FeatureTask, image_size: int, rule: HeldOutRule) -> str:
    return f"{task.value} images of {image_size} pixels, held out by {rule.value}"


def _described(path: Path, metadata: Mapping[str, str]) -> object:
    """Return the description in a file of this format."""
    try:
        plain = json.loads(metadata.get(_METADATA, "{}"))
    except (ValueError, RecursionError) as error:
        raise FeaturesError(f"{str(path)!r} is damaged: {error}") from error
    found = plain.pop("format", None) if isinstance(plain, dict) else None
    if found != FORMAT:
        raise FeaturesError(
            f"{str(path)!r} holds no feature network of format {FORMAT}, but of {found!r}"
        )
    return plain
