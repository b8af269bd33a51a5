"""The images of a training: decoded once, split, and kept in memory as bytes.

Large sources are decoded in worker processes; after that the processor belongs to the
networks. It knows no torch.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from graftscope.training._decoding import Pixels, UnreadableImage, decode_all
from graftscope.training._sources import ImageSource, open_source
from graftscope.training.errors import DataError, EmptyDataError
from graftscope.training.progress import ImageCounter, ProgressCallback, Stage
from graftscope.training.recipes import HeldOutRule, Recipe

# Of large photographs about a second's work.
_DECODING_REPORT_EVERY = 50


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be read.

    Attributes:
        name: Its name in the source.
        reason: Why it was skipped.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class DataDescription:
    """What a training was made from, as its checkpoint tells it.

    Attributes:
        name: What the source is called, without the folders above it.
        kind: The kind of source.
        trained_on: Number of images trained on.
        held_out: Number of images held out.
        skipped: Number of images that could not be read.
        held_out_rule: Which images were held out.
        digest: sha256 over the pixels of both parts, in hex.
        classes: The classes in the order of their labels, where the recipe has classes.
    """

    name: str
    kind: str
    trained_on: int
    held_out: int
    skipped: int
    held_out_rule: HeldOutRule
    digest: str
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageData:
    """Decoded images.

    Attributes:
        description: Where they come from.
        training: Images to train on (N, H, W, 3), uint8.
        held_out: Images never trained on (M, H, W, 3), uint8; M may be 0.
        skipped: What could not be read.
        training_names: The names in the source of the images to train on.
        held_out_names: Those of the images held out.
        training_labels: The classes of the images to train on (N,), int64, as positions in
            `description.classes`; None where the recipe has no classes.
    """

    description: DataDescription
    training: NDArray[np.uint8]
    held_out: NDArray[np.uint8]
    skipped: tuple[SkippedImage, ...]
    training_names: tuple[str, ...]
    held_out_names: tuple[str, ...]
    training_labels: NDArray[np.int64] | None = None


def load_images(data: str, recipe: Recipe, on_progress: ProgressCallback) -> ImageData:
    """Read, decode and split the images of a source.

    Args:
        data: A folder or zip of images, an .npz, CIFAR-10's archive, or `hf:DATASET_ID`.
        recipe: Says the size, the crop, the rule of the held-out images and the batch.
        on_progress: Hears of the decoding.

    Raises:
        DataNotFoundError: If the source is not there.
        EmptyDataError: If no image in it can be read.
        DataError: If it is of no known kind, has fewer training images than a batch, or its
            training images do not lie in as many folders as the recipe has classes.
        MissingExtraError: If it needs a library that is not installed.
    """
    source = open_source(data)
    named, skipped = _decode_and_split(source, recipe, on_progress)
    training, held_out = (_stack(named[part], recipe) for part in (False, True))
    if not len(training) + len(held_out):
        first = skipped[0]
        raise EmptyDataError(
            f"none of the {len(skipped)} images in {data!r} can be read; "
            f"the first, {first.name!r}: {first.reason}"
        )
    if len(training) < recipe.batch_size:
        raise DataError(
            f"{len(training)} training images in {data!r} are fewer than a batch; "
            f"batch_size is {recipe.batch_size}"
        )
    training_names, held_out_names = (
        tuple(name for name, _ in named[part]) for part in (False, True)
    )
    classes, labels = _classes(training_names, recipe.architecture.classes, data)
    description = DataDescription(
        name=source.name,
        kind=source.kind.value,
        trained_on=len(training),
        held_out=len(held_out),
        skipped=len(skipped),
        held_out_rule=recipe.held_out,
        digest=_digest(training, held_out),
        classes=classes,
    )
    return ImageData(
        description, training, held_out, tuple(skipped), training_names, held_out_names, labels
    )


def is_held_out(name: str, position: int, rule: HeldOutRule) -> bool:
    """Whether an image is never trained on.

    Args:
        name: Its name in the source.
        position: Its position there (from 0), for a file whose name has no number: its number
            is then `position + 1`.
        rule: The rule. Of several numbers in a file's name the last counts; an image is in the
            test set if one of the folders (or arrays) above it is called `test`.
    """
    path = PurePosixPath(name)
    match rule:
        case HeldOutRule.NUMBER_DIVISIBLE_BY_10:
            numbers = re.findall(r"[0-9]+", path.stem)
            return (int(numbers[-1]) if numbers else position + 1) % 10 == 0
        case HeldOutRule.TEST_SET:
            return "test" in path.parts[:-1]


def _classes(
    names: Sequence[str], wanted: int | None, data: str
) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    """Return the classes, in alphabetical order, and every image's position among them."""
    if wanted is None:
        return (), None
    folders = [PurePosixPath(name).parent.name for name in names]
    classes = sorted(set(folders))
    if len(classes) != wanted:
        shown = ", ".join(repr(name) for name in classes[:wanted])
        raise DataError(
            f"training images of {data!r} lie in {len(classes)} folders ({shown}), but there must "
            f"be {wanted}: the class of an image is the name of the folder that it lies in, and "
            "architecture.classes says how many there are"
        )
    return tuple(classes), np.array([classes.index(each) for each in folders], np.int64)


def _decode_and_split(
    source: ImageSource, recipe: Recipe, on_progress: ProgressCallback
) -> tuple[dict[bool, list[tuple[str, Pixels]]], list[SkippedImage]]:
    """Return named images under whether they are held out, and what could not be read."""
    size = recipe.architecture.image_size
    parts: dict[bool, list[tuple[str, Pixels]]] = {False: [], True: []}
    skipped = []
    decoded = decode_all(source.read(), len(source.names), size=size, crop_share=recipe.crop_share)
    count = ImageCounter(
        Stage.DECODING, len(source.names), on_progress, every=_DECODING_REPORT_EVERY
    )
    for position, (name, image) in enumerate(zip(source.names, decoded, strict=True)):
        if isinstance(image, UnreadableImage):
            skipped.append(SkippedImage(name, image.reason))
        else:
            parts[is_held_out(name, position, recipe.held_out)].append((name, image))
        count(1)
    return parts, skipped


def _stack(images: Sequence[tuple[str, Pixels]], recipe: Recipe) -> NDArray[np.uint8]:
    size = recipe.architecture.image_size
    return np.array([pixels for _, pixels in images], dtype=np.uint8).reshape(-1, size, size, 3)


def _digest(*parts: NDArray[np.uint8]) -> str:
    sha256 = hashlib.sha256()
    for part in parts:
        sha256.update(repr(part.shape).encode())
        sha256.update(np.ascontiguousarray(part).data)
    return sha256.hexdigest()
