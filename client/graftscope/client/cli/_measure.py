"""The verb measure: how far a generator's samples are from images that it never saw."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graftscope.client.calls import import_room, translated
from graftscope.client.cli._output import say, say_json, table
from graftscope.client.cli._progress import shown
from graftscope.client.cli._shared_options import JsonOption
from graftscope.client.cli._train import of_training

if TYPE_CHECKING:
    from graftscope.training import Quality
    from graftscope.training.quality import Distance

_SOURCES = {
    "halves": "other half of the held-out",
    "prior": "samples, prior",
    "encoded": "samples, encoded",
    "noise": "mean image and noise",
}


def measure(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="The folder that `train` wrote.")
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="PATH",
            help="The images that it was trained on, including those held out; as for `train`.",
        ),
    ],
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="FILE.safetensors",
            help="The network whose features are compared. If the file does not exist, the "
            "network is trained and written, which takes minutes. Name the same file for "
            "all generators that you want to compare. Default: features.safetensors in "
            "CHECKPOINT.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="CelebA's attributes, from which the network of faces learns. Default: "
            "list_attr_celeba.txt beside the images. CIFAR-10's classes are the names of folders.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Decides latents, halvings, noise and network, from 0.",
        ),
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Measure how far a generator's samples are from images that it never saw.

    Every set has half as many images as were held out. Compare the samples with the other half:
    that is what perfect samples would have. The mean image with noise shows the other end.
    Lower is better; distances through different networks cannot be compared. The result is kept
    in the checkpoint as quality.json, and `export` writes it into the model card.
    """
    room = import_room("graftscope.training", "train")
    with translated("graftscope."), shown("measure", "done") as show:
        quality: Quality = room.measure(
            checkpoint,
            data,
            features=features,
            labels=labels,
            seed=seed,
            on_progress=lambda progress: show(of_training(progress)),
        )
    if json:
        say_json(asdict(quality))
        return
    say(table(("from one half", "Fréchet", "x halves", "kernel"), _rows(quality)))
    network = quality.features
    say(
        f"{quality.images:,} images a set, {quality.repeats} halvings (mean ± standard deviation); "
        f"features of a network that tells {len(network.answers)} {network.task.value} labels with "
        f"accuracy {network.accuracy:.3f} ({network.commonest_accuracy:.3f} for the commonest "
        f"answer) -> {checkpoint / 'quality.json'}"
    )


def _rows(quality: "Quality") -> Iterator[tuple[str, str, str, str]]:
    least = quality.halves.mean.frechet
    for name, distance in quality.sources.items():
        yield (
            _SOURCES[name],
            _plus_minus(distance, "frechet"),
            f"{distance.mean.frechet / least:.3g}",
            _plus_minus(distance, "kernel"),
        )


def _plus_minus(distance: "Distance", kind: str) -> str:
    mean, deviation = getattr(distance.mean, kind), getattr(distance.deviation, kind)
    return f"{mean:.4g} ± {deviation:.2g}"
