"""What is measured of a generator's samples, and the file that tells it: `quality.json`.

It knows neither networks nor how anything was measured.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from graftscope.training._files import read_as, read_json_of, to_plain, write_json
from graftscope.training.data import DataDescription
from graftscope.training.errors import CheckpointError
from graftscope.training.quality._distances import Distances
from graftscope.training.quality._features import FeatureConfig

FORMAT: Final = 1
QUALITY_FILE: Final = "quality.json"
GENERATOR_FILE: Final = "generator.safetensors"


@dataclass(frozen=True)
class Distance:
    """Distances of some images from one half of the held-out images.

    Attributes:
        mean: Mean over the repeats.
        deviation: Standard deviation over the repeats, each with another half of the held-out
            images and another half of as many others.
    """

    mean: Distances
    deviation: Distances


@dataclass(frozen=True)
class Quality:
    """How far a generator's samples are from real images that it never saw.

    All distances are between sets of the same size, so that they can be compared with each other:
    what the Fréchet distance owes to that size is the same in all.

    Attributes:
        halves: The other half of the held-out images: what perfect samples would have.
        prior: Samples of latents from the prior.
        encoded: Samples of latents from the Gaussian of the training images' encodings; None for
            a GAN.
        noise: The training images' mean with each pixel's own standard deviation as independent
            noise: what shares no structure with the images.
        images: Number of images in every set, half of those held out.
        repeats: Number of halvings behind means and deviations.
        seed: Seed of draws and halvings.
        features: The feature network.
        features_digest: sha256 of its file in hex; qualities with different ones cannot be
            compared.
        generator_digest: sha256 of the generator's file in hex.
        data: The images.
    """

    halves: Distance
    prior: Distance
    encoded: Distance | None
    noise: Distance
    images: int
    repeats: int
    seed: int
    features: FeatureConfig
    features_digest: str
    generator_digest: str
    data: DataDescription

    @property
    def sources(self) -> dict[str, Distance]:
        """The distances by the name of what is held against the images, `halves` first."""
        named = {"halves": self.halves, "prior": self.prior, "encoded": self.encoded}
        return {name: each for name, each in named.items() if each} | {"noise": self.noise}


def write_quality(folder: Path, quality: Quality) -> None:
    """Write a checkpoint's `quality.json`, which replaces an earlier one.

    Raises:
        CheckpointError: If the file cannot be written.
    """
    plain = to_plain(quality)
    assert isinstance(plain, dict)
    try:
        write_json(folder / QUALITY_FILE, {"format": FORMAT, **plain})
    except OSError as error:
        path = folder / QUALITY_FILE
        raise CheckpointError(f"cannot write {str(path)!r}: {error.strerror}") from error


def load_quality(path: str | Path) -> Quality | None:
    """Read what was measured of a checkpoint's samples.

    Args:
        path: The checkpoint's folder.

    Returns:
        None if nothing was measured.

    Raises:
        CheckpointError: If the file is damaged, of another format, or of another generator.
    """
    file = Path(path) / QUALITY_FILE
    if not file.is_file():
        return None
    quality = read_as(Quality, file, read_json_of(file, FORMAT))
    if quality.generator_digest != generator_digest(Path(path)):
        raise CheckpointError(
            f"{file} describes another generator than the one in this checkpoint; measure again"
        )
    return quality


def generator_digest(folder: Path) -> str:
    """Return the sha256 of a checkpoint's generator in hex."""
    return sha256((folder / GENERATOR_FILE).read_bytes()).hexdigest()
