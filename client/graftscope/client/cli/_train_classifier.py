"""The verb train-classifier: a network that judges images. It hands over to its room."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graftscope.client.calls import import_room, translated
from graftscope.client.cli._output import say, say_json, table
from graftscope.client.cli._progress import shown
from graftscope.client.cli._shared_options import JsonOption
from graftscope.client.cli._train import of_training
from graftscope.client.errors import UsageError

if TYPE_CHECKING:
    from graftscope.training.classifier import Classifier

_TASKS = ("celeba", "cifar10")


def train_classifier(
    task: Annotated[
        str,
        typer.Argument(
            metavar="celeba|cifar10",
            help="What it tells: attributes of faces, or CIFAR-10's classes.",
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="PATH",
            help="The images, including those held out; as for `train`.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="NAME.onnx", help="The file to write; its card is NAME.md beside it."
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="CelebA's attributes. Default: list_attr_celeba.txt beside the images. "
            "CIFAR-10's classes are the names of folders.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            metavar="N",
            min=1,
            help="How often each image is seen. Default: 40 for faces, 14 for CIFAR-10.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="N", min=0, help="Decides weights and order, from 0."),
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train a classifier of faces' attributes or CIFAR-10's classes, as one ONNX file.

    The file has two outputs, features and scores, and says itself how images have to be prepared.
    The accuracy is that on images that were never trained on.
    """
    if task not in _TASKS:
        raise UsageError(f"{task!r} cannot be learnt; there are: {', '.join(_TASKS)}")
    room = import_room("graftscope.exporter", "export")
    with translated("graftscope."), shown("train-classifier", "done") as show:
        classifier: Classifier = room.train_classifier(
            task,
            data,
            out,
            labels=labels,
            epochs=epochs,
            seed=seed,
            overwrite=overwrite,
            on_progress=lambda progress: show(of_training(progress)),
        )
    told = classifier.told
    if json:
        say_json(
            {
                "classifier": out,
                "accuracy": classifier.accuracy,
                "told": {each.name: each.accuracy for each in told},
            }
        )
        return
    say(
        table(
            ("", "held out", "accuracy"),
            ((each.name, f"{each.held_out:,}", f"{each.accuracy:.3f}") for each in told),
        )
    )
    say(
        f"mean accuracy {classifier.accuracy:.3f} on {classifier.held_out:,} held-out images"
        f" -> {out}"
    )
