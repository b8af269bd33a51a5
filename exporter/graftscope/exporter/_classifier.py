"""A classifier that was trained here as one ONNX file that says what it takes, and its card.

The file is what `graftscope probe` and others take as a classifier or as features.
"""

from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from graftscope.bundle import NetworkDescription, Preprocessing
from graftscope.exporter._classifier_card import classifier_card
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter.errors import ProofError, TargetExistsError
from graftscope.exporter.sources._trace import trace
from graftscope.graph import strip_metadata
from graftscope.training.classifier import Classifier, FeatureTask, learn_classifier
from graftscope.training.progress import ProgressCallback

IMAGE: Final = "image"
FEATURES: Final = "features"
SCORES: Final = "scores"

_LOW: Final = -1.0
_HIGH: Final = 1.0
# Rounding of float32 where the order of sums is another one, of features and scores of order 10.
_TOLERANCE: Final = 1e-4
_PROVEN_ON: Final = 8


def train_classifier(
    task: str,
    data: str | Path,
    out: str | Path,
    *,
    labels: str | Path | None = None,
    epochs: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    on_progress: ProgressCallback | None = None,
) -> Classifier:
    """Train a classifier and write it, with a card beside it.

    Args:
        task: ``celeba`` (attributes of faces) or ``cifar10`` (classes of things).
        data: The images, held-out ones among them; as for `train`.
        out: The file to write, NAME.onnx; the card is NAME.md.
        labels: CelebA's attributes; None means `list_attr_celeba.txt` beside the images.
        epochs: How often each image is seen; None takes what the shipped one had.
        seed: Decides the weights, with the images.
        overwrite: Whether files that are there may be replaced.
        on_progress: Hears of every step.

    Returns:
        The classifier.

    Raises:
        TargetExistsError: If a file is there that may not be replaced.
        ProofError: If the file does not compute what the network does; then nothing is written.
        TrainingError: As `learn_classifier`.
    """
    target = Path(out)
    require_free(target, overwrite=overwrite)
    classifier = learn_classifier(
        FeatureTask(task), data, labels, epochs=epochs, seed=seed, on_progress=on_progress
    )
    write_classifier(classifier, target, overwrite=overwrite)
    return classifier


def write_classifier(classifier: Classifier, out: Path, *, overwrite: bool = False) -> None:
    """Write a classifier as one ONNX file, and its card beside it.

    The file takes images (B, 3, H, W) in [-1, 1] and gives `features` (B, F) and `scores` (B, A);
    its metadata says so, and names the scores.

    Args:
        classifier: What was trained.
        out: The file, NAME.onnx.
        overwrite: Whether files that are there may be replaced.

    Raises:
        TargetExistsError: If a file is there that may not be replaced.
        ProofError: If the file does not compute what the network does; then nothing is written.
    """
    require_free(out, overwrite=overwrite)
    size = classifier.image_size
    images = np.random.default_rng(0).uniform(_LOW, _HIGH, (_PROVEN_ON, 3, size, size))
    example = torch.from_numpy(images.astype(np.float32))
    model = trace(classifier.network, {IMAGE: example[:2]}, (FEATURES, SCORES))
    strip_metadata(model)
    model.metadata_props.update(_description(classifier).to_metadata())
    content = ir.to_proto(model).SerializeToString(deterministic=True)
    _prove(classifier, content, example)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    card_of(out).write_text(classifier_card(out.stem, classifier), encoding="utf-8")


def card_of(out: Path) -> Path:
    """Where the card of a classifier's file lies."""
    return out.with_suffix(".md")


def require_free(out: Path, *, overwrite: bool) -> None:
    """Refuse a file that must not be written.

    Raises:
        TargetExistsError: If it is no .onnx file, or it or its card is there already.
    """
    if out.suffix != ".onnx":
        raise TargetExistsError(f"{str(out)!r} is not written; a classifier is a file NAME.onnx")
    for path in (out, card_of(out)):
        if path.is_dir() or (path.exists() and not overwrite):
            raise TargetExistsError(
                f"{str(path)!r} exists already; choose another file, or overwrite it (--overwrite)"
            )


def _description(classifier: Classifier) -> NetworkDescription:
    size = classifier.image_size
    return NetworkDescription(
        preprocessing=Preprocessing(low=_LOW, high=_HIGH, height=size, width=size),
        features=FEATURES,
        scores=SCORES,
        classes=tuple(each.name for each in classifier.told),
        exclusive=classifier.task is FeatureTask.CIFAR10,
    )


def _prove(classifier: Classifier, content: bytes, images: torch.Tensor) -> None:
    """Refuse a file that computes something else than the network."""
    session = CpuSession(Path("classifier.onnx"), optimised=True, content=content)
    found = session.run({IMAGE: images.numpy()})
    with torch.inference_mode():
        wanted = classifier.network(images)
    for name, each in zip((FEATURES, SCORES), wanted, strict=True):
        _require_close(name, found[name], each.numpy())


def _require_close(name: str, found: NDArray[np.generic], wanted: NDArray[np.float32]) -> None:
    apart = float(np.abs(found.astype(np.float64) - wanted).max())
    if not apart <= _TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        raise ProofError(f"{name} of the written graph differ by {apart:.2g} from the network's")
