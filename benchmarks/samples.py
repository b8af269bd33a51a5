"""How far generators' samples are from real images, by the features of a network that ships.

    python -m benchmarks.samples gan-cifar10 bundles/mine --data cifar10.zip
    python -m benchmarks.samples gan-celeba vae-celeba --data celeba.zip --network celeba

Generators are bundles, by path or by the name of one that ships. The held-out images, which neither
generator nor network learnt from, are halved: samples are compared with one half, and the other
half is what as many perfect samples would have. Errors are standard errors over groups of images.
--features compares by the network that `graftscope measure` trained.
For a generator that is told a class, it is also said how often the network tells that class.
--picture draws the first 64 samples of the last generator, pixel by pixel.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.markdown import table
from benchmarks.progress import say
from graftscope.bundle import shipped_networks
from graftscope.client import Client, Model, Prior
from graftscope.server.analysis import FeatureSet, realism
from graftscope.server.engine import Device, Reads, SessionPool, open_network
from graftscope.training._pictures import to_images
from graftscope.training.data import load_images
from graftscope.training.progress import ignore_progress
from graftscope.training.quality._features import read_features
from graftscope.training.recipes import find_recipe

HEADS: Final = ["images", "Fréchet", "kernel", "precision", "recall", "density", "coverage"]
DRAWN: Final = 8
"""Rows and columns of the picture."""

_LOW: Final = -1.0
_HIGH: Final = 1.0
_AT_ONCE: Final = 500
_OF_A_CLASS: Final = 500

Pixels = NDArray[np.uint8]


def opened(network: str, side: int, reads: Reads) -> Callable[[Pixels], NDArray[np.float32]]:
    """What a network that ships makes of images (N, H, W, 3): features, or scores."""
    sees = open_network(
        shipped_networks()[network],
        SessionPool(Device.CPU, limit=2),
        images=(3, side, side),
        reads=reads,
    )

    def seen(pixels: Pixels) -> NDArray[np.float32]:
        rows = [
            sees(some.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1, _LOW, _HIGH)
            for some in np.array_split(pixels, -(-len(pixels) // _AT_ONCE))
        ]
        return np.concatenate(rows)

    return seen


def measured_by(path: Path) -> Callable[[Pixels], NDArray[np.float32]]:
    """The features that a network of `graftscope measure` sees in images (N, H, W, 3)."""
    network = read_features(path).network

    @torch.inference_mode()
    def seen(pixels: Pixels) -> NDArray[np.float32]:
        rows = [
            network.features(to_images(some, torch.device("cpu"))).numpy()
            for some in np.array_split(pixels, -(-len(pixels) // _AT_ONCE))
        ]
        return np.concatenate(rows)

    return seen


def samples(client: Client, model: Model, count: int, seed: int, **fixed: int) -> Pixels:
    """Samples (N, H, W, 3) from the prior; of all classes unless one is said."""
    made = client.generate(model.name, count=count, seed=seed, originals=Prior(), fix=fixed)
    scaled = (made.images.transpose(0, 2, 3, 1) - _LOW) * (255 / (_HIGH - _LOW))
    pixels: Pixels = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    return pixels


def told(
    client: Client, model: Model, scores: Callable[[Pixels], NDArray[np.float32]], seed: int
) -> str:
    """How often the network tells the class that the generator was told; empty without classes."""
    for given in model.inputs:
        if given.classes:
            right = [
                scores(samples(client, model, _OF_A_CLASS, seed, **{given.name: each})).argmax(1)
                == each
                for each in range(given.classes)
            ]
            share = np.mean(right)
            error = np.sqrt(share * (1 - share) / np.size(right))
            return f"{model.name}: {share:.1%} ± {error:.1%} of samples are told as their class"
    return ""


def cells(name: str, images: FeatureSet, reference: FeatureSet) -> list[str]:
    """A row of the table."""
    found = realism(images, reference)
    told = zip(found.values, found.stderr, strict=True)
    return [name, *(f"{value:.3f} ± {stderr:.3f}" for value, stderr in told)]


def draw(pixels: Pixels, path: Path) -> None:
    """Write a grid of the first samples."""
    some = pixels[: DRAWN**2].reshape(DRAWN, DRAWN, *pixels.shape[1:])
    _, _, height, width, colours = some.shape
    grid = some.swapaxes(1, 2).reshape(DRAWN * height, DRAWN * width, colours)
    Image.fromarray(grid).save(path)


def main() -> None:
    """Measures and prints."""
    given = _parser().parse_args()
    recipe = find_recipe({"celeba": "gan-celeba", "cifar10": "gan-cifar10"}[given.network])
    held_out = load_images(given.data, recipe, ignore_progress).held_out
    order = np.random.default_rng(given.seed).permutation(len(held_out))
    count = len(order) // 2
    features, scores = (
        opened(given.network, held_out.shape[1], reads) for reads in (Reads.FEATURES, Reads.SCORES)
    )
    if given.features:
        features = measured_by(given.features)
    reference, others = (
        FeatureSet(features(held_out[some])) for some in np.split(order[: 2 * count], 2)
    )
    rows, notes = [cells("held-out images", others, reference)], []
    for bundle in given.bundles:
        say(f"{bundle} ...")
        path = Path(bundle)
        with Client(bundles=[path] if path.is_dir() else None) as client:
            model = client.models()[0] if path.is_dir() else client.model(bundle)
            made = samples(client, model, count, given.seed)
            notes.append(told(client, model, scores, given.seed))
        rows.append(cells(bundle, FeatureSet(features(made)), reference))
    if given.picture:
        draw(made, given.picture)
    by = given.features or given.network
    print(f"{count:,} images a set, features of {by}\n\n{table(HEADS, rows)}")
    print("\n".join(filter(None, notes)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samples", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("bundles", nargs="+", help="of images of one kind")
    parser.add_argument("--data", required=True, help="the images that they were trained on")
    parser.add_argument("--network", choices=("cifar10", "celeba"), default="cifar10")
    parser.add_argument("--features", type=Path, metavar="FILE.safetensors")
    parser.add_argument("--seed", type=int, default=0, help="of halves and samples")
    parser.add_argument("--picture", type=Path, help="where samples are drawn")
    return parser


if __name__ == "__main__":
    main()
