"""Whether pairs that are drawn together tell more than independent ones, at equal cost.

    python benchmarks/variance.py [--groups N] [--json FILE]

A group of pairs gives an estimate of every individual influence and every map. What is compared is
the variance of that estimate over independent groups, as a share of that of as many independent
pairs:

- antithetic: (z1, z2) and (-z1, -z2);
- swapped: (z1, z2) and (z2, z1);
- stratified: 32 pairs as `Pairs.stratified` gives them, whose every latent is in another one of 32
  equally likely parts.

Below 0.8 a scheme would save a fifth of the pairs. The spread is the bootstrap's over groups.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.bundle import shipped
from graftscope.server.analysis import GROUP_PAIRS
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    GivenPairs,
    PairSource,
    Plan,
    PriorPairs,
    SessionPool,
    open_bundles,
    shard_effects,
)

Latents = NDArray[np.float32]
Draw = Callable[[np.random.Generator, int], tuple[Latents, Latents]]
Scheme = Callable[[int], tuple[PairSource, range]]
"""The pairs of a group, by the group's number."""

SHARED = 2
"""Pairs of a group of antithetic or swapped pairs."""

STRATIFIED_GROUPS = 64
"""At least so many groups of 32: the variance of fewer estimates is itself uncertain."""

RESAMPLES = 200
EVERY_CHANNEL = 4


@dataclass(frozen=True)
class Estimates:
    """What every group of so many pairs gave: (G, E) individual influences, (G, E, H, W) maps."""

    individual: NDArray[np.float64]
    maps: NDArray[np.float64]
    pairs: int


def antithetic(random: np.random.Generator, size: int) -> tuple[Latents, Latents]:
    """A pair and its mirror image."""
    z1, z2 = random.standard_normal((2, 1, size), dtype=np.float32)
    return np.vstack([z1, -z1]), np.vstack([z2, -z2])


def swapped(random: np.random.Generator, size: int) -> tuple[Latents, Latents]:
    """A pair both ways round."""
    z1, z2 = random.standard_normal((2, 1, size), dtype=np.float32)
    return np.vstack([z1, z2]), np.vstack([z2, z1])


def given(generator: Generator, draw: Draw, seed: int) -> Scheme:
    """Pairs that are made up here."""
    (latent,) = generator.manifest.inputs
    random, size = np.random.default_rng(seed), int(np.prod(latent.shape))

    def pairs_of(group: int) -> tuple[PairSource, range]:
        z1, z2 = draw(random, size)
        return GivenPairs({latent.name: z1}, {latent.name: z2}), range(len(z1))

    return pairs_of


def drawn(source: PairSource, pairs: int) -> Scheme:
    """Pairs as jobs draw them."""
    return lambda group: (source, range(group * pairs, (group + 1) * pairs))


def measure(subject: ChannelSets, plan: Plan, scheme: Scheme, groups: int) -> Estimates:
    """The estimates of independent groups."""
    individual, maps = [], []
    for group in range(groups):
        source, pairs = scheme(group)
        found = shard_effects(subject, plan, source, pairs, Cancellation())
        individual.append(found.pixel_means.mean(axis=0))
        maps.append(found.moments.mean.astype(np.float32))
    return Estimates(np.array(individual), np.array(maps), len(pairs))


def ratio(
    some: NDArray[np.floating], plain: NDArray[np.floating], seed: int
) -> tuple[float, float]:
    """Variance over groups as a share of plain groups', all channels and pixels; its spread."""
    random = np.random.default_rng(seed)
    found = _variance(some) / _variance(plain)
    resampled = [
        _variance(some[random.integers(len(some), size=len(some))])
        / _variance(plain[random.integers(len(plain), size=len(plain))])
        for _ in range(RESAMPLES)
    ]
    return found, float(np.std(resampled))


def _variance(array: NDArray[np.floating]) -> float:
    return float(array.reshape(len(array), -1).var(axis=0, ddof=1).sum())


def compare(groups: int) -> dict[str, dict[str, tuple[float, float]]]:
    """The ratios of every scheme, at the intermediate level of the face VAE that ships."""
    (folder,) = open_bundles([shipped()["vae-celeba"]])
    generator = Generator(folder, SessionPool(Device.CPU, 8))
    layer = generator.layer("intermediate")
    sets = np.eye(layer.channels, dtype=np.bool_)[::EVERY_CHANNEL]
    subject = ChannelSets(generator, layer, sets, generator.areas(32))
    plan = subject.plan()
    plain = measure(subject, plan, drawn(PriorPairs(generator, 0), SHARED), groups)
    stratified = drawn(PriorPairs(generator, 3, stratified=True), GROUP_PAIRS)
    schemes = {
        "antithetic": measure(subject, plan, given(generator, antithetic, 1), groups),
        "swapped": measure(subject, plan, given(generator, swapped, 2), groups),
        "stratified": measure(
            subject, plan, stratified, max(STRATIFIED_GROUPS, groups * SHARED // GROUP_PAIRS)
        ),
    }
    return {name: _ratios(found, plain) for name, found in schemes.items()}


def _ratios(found: Estimates, plain: Estimates) -> dict[str, tuple[float, float]]:
    """Of a pair's share in the variance, since groups differ in size."""
    share = found.pairs / plain.pairs
    of_both = {
        "individual": ratio(found.individual, plain.individual, 4),
        "maps": ratio(found.maps, plain.maps, 5),
    }
    return {name: (share * value, share * spread) for name, (value, spread) in of_both.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=512, help="of two pairs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = compare(options.groups)
    if options.json:
        options.json.write_text(json.dumps(found))
    sys.stdout.write("| pairs | individual influence | maps |\n| --- | --- | --- |\n")
    for name, ratios in found.items():
        cells = (f"{value:.2f} ± {spread:.2f}" for value, spread in ratios.values())
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
