"""How far generators' samples are from real images, by the features of a network that ships.

    python -m benchmarks.samples gan-cifar10 bundles/mine --data cifar10.zip
    python -m benchmarks.samples gan-celeba vae-celeba --data celeba.zip --network celeba

Generators are bundles, by path or by the name of one that ships. The held-out images, which neither
generator nor network learnt from, are halved: samples are compared with one half, and the other
half is what as many perfect samples would have. Errors are standard errors over groups of images.
--picture draws the first 64 samples of the last generator, pixel by pixel.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.markdown import table
from benchmarks.progress import say
from graftscope.bundle import shipped_networks
from graftscope.client import Client, Prior
from graftscope.server.analysis import FeatureSet, realism
from graftscope.server.engine import Device, Reads, SessionPool, open_network
from graftscope.training.data import load_images
from graftscope.training.progress import ignore_progress
from graftscope.training.recipes import find_recipe

HEADS: Final = ["images", "Fréchet", "kernel", "precision", "recall", "density", "coverage"]
DRAWN: Final = 8
"""Rows and columns of the picture."""

_LOW: Final = -1.0
_HIGH: Final = 1.0
_AT_ONCE: Final = 500

Pixels = NDArray[np.uint8]


def opened(network: str, side: int) -> Callable[[Pixels], FeatureSet]:
    """What a network that ships sees in images (N, H, W, 3)."""
    sees = open_network(
        shipped_networks()[network],
        SessionPool(Device.CPU, limit=1),
        images=(3, side, side),
        reads=Reads.FEATURES,
    )

    def seen(pixels: Pixels) -> FeatureSet:
        rows = [
            sees(some.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1, _LOW, _HIGH)
            for some in np.array_split(pixels, -(-len(pixels) // _AT_ONCE))
        ]
        return FeatureSet(np.concatenate(rows))

    return seen


def samples(bundle: str, count: int, seed: int) -> Pixels:
    """Samples (N, H, W, 3) from the prior, with the classes that the prior gives."""
    path = Path(bundle)
    with Client(bundles=[path] if path.is_dir() else None) as client:
        name = client.models()[0].name if path.is_dir() else bundle
        made = client.generate(name, count=count, seed=seed, originals=Prior())
    scaled = (made.images.transpose(0, 2, 3, 1) - _LOW) * (255 / (_HIGH - _LOW))
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)


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
    seen = opened(given.network, held_out.shape[1])
    reference = seen(held_out[order[:count]])
    rows = [cells("held-out images", seen(held_out[order[count : 2 * count]]), reference)]
    for bundle in given.bundles:
        say(f"{bundle} ...")
        made = samples(bundle, count, given.seed)
        rows.append(cells(bundle, seen(made), reference))
    if given.picture:
        draw(made, given.picture)
    print(f"{count:,} images a set, features of {given.network}\n\n{table(HEADS, rows)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samples", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("bundles", nargs="+", help="of images of one kind")
    parser.add_argument("--data", required=True, help="the images that they were trained on")
    parser.add_argument("--network", choices=("cifar10", "celeba"), default="cifar10")
    parser.add_argument("--seed", type=int, default=0, help="of halves and samples")
    parser.add_argument("--picture", type=Path, help="where samples are drawn")
    return parser


if __name__ == "__main__":
    main()
