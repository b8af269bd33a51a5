"""How well images are reconstructed by a generator without an encoder, as a table and as JSON.

    python -m benchmarks.inversion --data celeba.zip --inverter runs/inverter --out inversion.json

On samples of the generator, and on photographs that were held out, errors are root mean squares per
pixel as a share of the range: of telling always the mean image, of the nearest of 256 samples, of
the encoder, of optimisation from either, and of a VAE's own encoder.
"""

import argparse
import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import markdown
from benchmarks.machine import this_machine
from benchmarks.progress import say
from graftscope.exporter.inversion import bundle_encoder, bundle_generator
from graftscope.training.inversion import (
    DRAWS,
    Encode,
    InverterMetrics,
    InverterSettings,
    Optimisation,
    SampledGenerator,
    in_range,
    invert,
    load_inverter,
    load_photographs,
    reconstruction_of,
)
from graftscope.training.progress import ignore_progress

Images = NDArray[np.float32]

SEED: Final = 11
NEAREST: Final = f"the nearest of {DRAWS} samples"
PRIOR_WEIGHT: Final = 0.001


@dataclass(frozen=True)
class Row:
    """One way of reconstructing one set of images.

    Attributes:
        model: The generator.
        images: Which images: ``samples`` or ``photographs``.
        method: The way.
        count: How many images.
        error: Root mean square per pixel, as a share of the range.
        error_stderr: Its standard error.
        latents: Root mean square of the latents, in standard deviations of the prior; None for the
            mean image.
        seconds: That it took for each image.
    """

    model: str
    images: str
    method: str
    count: int
    error: float
    error_stderr: float
    latents: float | None
    seconds: float

    @property
    def cells(self) -> list[str]:
        """As a row of the table."""
        latents = "-" if self.latents is None else f"{self.latents:.2f}"
        error = f"{self.error:.2%} ± {self.error_stderr:.2%}"
        return [self.model, self.images, self.method, error, latents, f"{self.seconds:.3g}"]


HEADINGS: Final = ["generator", "images", "reconstructed by", "error", "latents", "s an image"]


def rows_of(
    generator: SampledGenerator,
    sets: dict[str, Images],
    encoders: dict[str, Encode],
    steps: int,
    known: Collection[str] = (),
) -> Iterator[Row]:
    """Measure every way on every set.

    Args:
        generator: The generator, which is differentiable.
        sets: Images (N, C, H, W) by what they are.
        encoders: Encoders by what they are called.
        steps: Of the optimisations.
        known: Starts that are left out.
    """
    model = generator.description.name
    for name, images in sets.items():
        told = reconstruction_of(np.zeros(len(images)), images, generator.description.span)
        spread = np.square(images - images.mean(axis=0)).mean(axis=(1, 2, 3))
        least = told.mean_image_error
        span = generator.description.span
        stderr = spread.std(ddof=1) / np.sqrt(len(images)) / (2 * least * span**2)
        yield Row(model, name, "the mean image", len(images), least, float(stderr), None, 0.0)
        none, usual = Optimisation(steps=0), Optimisation(steps=steps)
        ways: dict[str, Encode | None] = {NEAREST: None, **encoders}
        starts = {start: encode for start, encode in ways.items() if start not in known}
        for start, encode in starts.items():
            yield _row(generator, name, images, start, none, encode)
            beside = f"{start}, then {steps} steps"
            yield _row(generator, name, images, beside, usual, encode)
        last = next(reversed(starts))
        held = replace(usual, prior_weight=PRIOR_WEIGHT)
        beside = f"{last}, then {steps} steps, prior weight {PRIOR_WEIGHT:g}"
        yield _row(generator, name, images, beside, held, starts[last])


def _row(
    generator: SampledGenerator,
    name: str,
    images: Images,
    method: str,
    how: Optimisation,
    encode: Encode | None,
) -> Row:
    say(f"{generator.description.name}, {name}: {method}")
    began = time.perf_counter()
    found = invert(generator, images, how, encode=encode, seed=SEED)
    seconds = (time.perf_counter() - began) / len(images)
    told = reconstruction_of(found.errors, images, generator.description.span)
    latents = float(np.sqrt(found.mean_square.mean()))
    model = generator.description.name
    return Row(model, name, method, told.images, told.error, told.error_stderr, latents, seconds)


def held_out(generator: SampledGenerator, data: str, count: int) -> Images:
    """The first photographs that no training saw (count, C, H, W)."""
    told = generator.description
    found = load_photographs(data, told, InverterSettings(), ignore_progress)
    return in_range(found.held_out[:count], told)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="photographs, of which some are held out")
    parser.add_argument("--bundle", default="gan-celeba", help="the generator without an encoder")
    parser.add_argument(
        "--inverter", action="append", default=[], help="[CALLED=]FOLDER of a `train inverter`"
    )
    parser.add_argument(
        "--vae", default="vae-celeba", help="a bundle with an encoder of its own; '' for none"
    )
    parser.add_argument("--images", type=int, default=64, help="how many of each kind")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument(
        "--join",
        action="store_true",
        help="keep what --out has of an earlier run, and measure inverters beside it",
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)

    generator = bundle_generator(given.bundle)
    photographs = held_out(generator, given.data, given.images)
    drawn = generator.generate(generator.draw(SEED, given.images))
    trained: dict[str, Encode] = {}
    metrics: dict[str, InverterMetrics] = {}
    for text in given.inverter:
        called, _, folder = text.rpartition("=")
        inverter = load_inverter(folder)
        trained[called or "the encoder"] = inverter.encode
        metrics[called or "the encoder"] = inverter.metrics
    rows = [
        *rows_of(
            generator,
            {"samples": drawn, "photographs": photographs},
            trained,
            given.steps,
            [NEAREST] if given.join else [],
        )
    ]
    if given.vae and (own := bundle_encoder(given.vae)) is not None:
        vae = bundle_generator(given.vae)
        shown = {"photographs": held_out(vae, given.data, given.images)}
        rows += rows_of(vae, shown, {"its own encoder": own}, given.steps)
    print(markdown.table(HEADINGS, [row.cells for row in rows], text=(0, 1, 2)))
    print(this_machine())
    if given.out is not None:
        write(given.out, given, rows, metrics)


def write(
    path: Path, given: argparse.Namespace, rows: Sequence[Row], metrics: dict[str, InverterMetrics]
) -> None:
    """Write what a page is made from."""
    command = f"python -m benchmarks.inversion --bundle {given.bundle} --images {given.images}"
    found = {_key(row): row for row in map(asdict, rows)}
    trained = {name: asdict(each) for name, each in metrics.items()}
    if given.join and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        found = {_key(row): row for row in before["rows"]} | found
        trained = before["trained"] | trained
    document = {
        "command": f"{command} --steps {given.steps} --data DATA --inverter FOLDER",
        "machine": str(this_machine()),
        "rows": list(found.values()),
        "trained": trained,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _key(row: dict[str, object]) -> tuple[object, ...]:
    return row["model"], row["images"], row["method"]


if __name__ == "__main__":
    main()
