"""Whether labels are as sure as they are said to be, and what it saves to stop at those that are.

    python -m benchmarks.labels collect FOLDER [--model vae-celeba] [--level intermediate]
    python -m benchmarks.labels evaluate FOLDER [--k 3] [--method nmf] [--figure reliability.png]

The first command computes the mean maps of shards, a file a layer, and goes on where it was
stopped. The second needs no generator: shards are independent of each other, so that blocks of them
serve as runs of different seeds.

- Reliability: labels of 8 shards (256 pairs), with what they are said to be, against those of all
  128 (16 times the pairs).
- Stopping: a channel rests while its label's probability was at least P at the last look. What it
  took is a share of the hybrids of 1,000 pairs; told sure are those that are at least P in the end.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.bundle import shipped
from graftscope.server.analysis import (
    GROUP_PAIRS,
    NO_MODULE,
    KTooLargeError,
    Method,
    Modules,
    NotConvergedError,
    ShardGroups,
    features_of,
    find_modules,
    label_confidence,
    match_labels,
)
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    PriorPairs,
    SessionPool,
    open_bundles,
    shard_effects,
)

SHARDS = 128
"""Of a layer: 4,096 pairs."""

BLOCK = 8
"""Shards of a run whose labels are believed or not: a sixteenth of all."""

LOOKS = (4, 6, 8, 11, 15, 20, 27, 32)
"""Shards after which channels may stop, or go on again."""

LONGEST = (8, 32)
"""Shards after which all stop: 256 pairs, and 1,024."""

SURE = 0.95
SEED = 7
SAVED_EVERY = 16
FULL_PAIRS = 1000

# Where the reliability diagram is cut.
CUTS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01)


@dataclass(frozen=True)
class Race:
    """What came of stopping channel by channel, the mean over runs.

    Attributes:
        shards: after which all had to stop.
        hybrids: as a share of those of 1,000 pairs.
        sure: share of the channels that are told sure in the end.
        agreement: share of these whose label is that of all pairs.
    """

    shards: int
    hybrids: float
    sure: float
    agreement: float


@dataclass(frozen=True)
class Layer:
    """What was found for a layer.

    Attributes:
        name: model and level.
        k: number of modules.
        method: how they were found.
        told: probability of each label of each run of BLOCK shards.
        agreed: whether it is that of all pairs.
        races: one for each of LONGEST.
    """

    name: str
    k: int
    method: str
    told: list[float]
    agreed: list[bool]
    races: list[Race]


def collect(folder: Path, models: Sequence[str], levels: Sequence[str], stratified: bool) -> None:
    """Computes the shards that are missing, one file a layer."""
    for model in models:
        path = shipped()[model] if model in shipped() else Path(model)
        (bundle,) = open_bundles([path])
        generator = Generator(bundle, SessionPool(Device.CPU, 1))
        inputs = {x.name for x in generator.manifest.inputs}
        for layer in generator.manifest.layers:
            word = layer.level or layer.name
            if layer.name in inputs or not _wanted(word, levels):
                continue
            _collect_layer(generator, word, folder / f"{path.name}.{word}.npy", stratified)


def _wanted(level: str, levels: Sequence[str]) -> bool:
    return not levels or level in levels


def _collect_layer(generator: Generator, level: str, file: Path, stratified: bool) -> None:
    layer = generator.layer(level)
    sets = np.eye(layer.channels, dtype=np.bool_)
    subject = ChannelSets(generator, layer, sets, generator.areas(128))
    source, plan = PriorPairs(generator, SEED, stratified=stratified), subject.plan()
    maps = list(np.load(file)) if file.exists() else []
    while len(maps) < SHARDS:
        start = len(maps) * GROUP_PAIRS
        pairs = range(start, start + GROUP_PAIRS)
        found = shard_effects(subject, plan, source, pairs, Cancellation())
        maps.append(found.moments.mean.astype(np.float32))
        if len(maps) % SAVED_EVERY == 0:
            # Whole or not at all: the next call goes on from here.
            np.save(file.with_suffix(".part.npy"), np.array(maps))
            os.replace(file.with_suffix(".part.npy"), file)
            sys.stderr.write(f"{file.name}: {len(maps)} of {SHARDS} shards\n")


@dataclass(frozen=True)
class Grouping:
    """How modules are found."""

    k: int
    method: Method = Method.NMF

    def of(self, maps: NDArray[np.float64]) -> Modules:
        """The modules of some maps, (C, h, w)."""
        return find_modules(features_of(maps), self.k, self.method)


def evaluate(name: str, shards: NDArray[np.float32], how: Grouping, runs: int) -> Layer:
    """Everything about one layer.

    Args:
        name: of the model and the level.
        shards: (n, C, h, w), mean maps of independent shards.
        how: modules are found.
        runs: how often channels race, each time from another shard on.
    """
    truth = how.of(shards.mean(axis=0, dtype=np.float64))
    told: list[float] = []
    agreed: list[bool] = []
    for start in range(0, len(shards), BLOCK):
        for _, modules, own in _looks(shards[start : start + BLOCK], how, (BLOCK,)):
            some = np.isfinite(own)
            told += own[some].tolist()
            agreed += (_named(modules, truth) == modules.labels)[some].tolist()
    starts = [run * len(shards) // runs for run in range(runs)]
    races = [_race(np.roll(shards, -start, axis=0)[: LOOKS[-1]], how, truth) for start in starts]
    means = [_mean(each) for each in zip(*races, strict=True)]
    return Layer(name, how.k, how.method.value, told, agreed, means)


def _race(shards: NDArray[np.float32], how: Grouping, truth: Modules) -> list[Race]:
    """One run, as it stands at each of LONGEST."""
    found, had = [], np.zeros(shards.shape[1])
    for at, modules, own in _looks(shards, how, LOOKS, had):
        if at in LONGEST:
            sure = np.nan_to_num(own) >= SURE
            agrees = _named(modules, truth) == modules.labels
            hybrids = float(had.mean()) * GROUP_PAIRS / FULL_PAIRS
            agreement = float(agrees[sure].mean()) if sure.any() else float("nan")
            found.append(Race(at, hybrids, float(sure.mean()), agreement))
    return found


def _looks(
    shards: NDArray[np.float32],
    how: Grouping,
    looks: Sequence[int],
    had: NDArray[np.float64] | None = None,
) -> Iterator[tuple[int, Modules, NDArray[np.float64]]]:
    """Modules and each label's probability after some of the shards.

    Args:
        shards: (n, C, h, w).
        how: modules are found.
        looks: numbers of shards.
        had: (C,), how many shards each channel has had, is written. None where none rests.
    """
    groups = ShardGroups.none(shards.shape[1], (shards.shape[2], shards.shape[3]))
    total, count = np.zeros(shards.shape[1:]), np.zeros(shards.shape[1])
    going = np.ones(shards.shape[1], np.bool_)
    for at, shard in enumerate(shards, start=1):
        groups = groups.and_then(shard, np.where(going, GROUP_PAIRS, 0))
        total[going] += shard[going]
        count += going
        if at not in looks:
            continue
        try:
            modules = how.of(total / count[:, np.newaxis, np.newaxis])
        except (KTooLargeError, NotConvergedError):
            continue
        own = label_confidence(groups, modules).own
        if had is not None:
            going = ~(own >= SURE) & (modules.labels != NO_MODULE)
            had[:] = count
        yield at, modules, own


def _named(modules: Modules, truth: Modules) -> NDArray[np.int64]:
    """The true labels under the numbers of some modules."""
    match = match_labels(modules.labels, truth.labels, modules.k)
    return np.where(truth.labels == NO_MODULE, NO_MODULE, match[truth.labels])


def _mean(races: Sequence[Race]) -> Race:
    hybrids, sure = (float(np.mean([getattr(x, n) for x in races])) for n in ("hybrids", "sure"))
    return Race(races[0].shards, hybrids, sure, float(np.nanmean([x.agreement for x in races])))


def table(layers: Sequence[Layer]) -> str:
    """A row a layer, and the medians."""
    columns = ["layer", "K", "method", "labels that agree", "told sure", "of these agree"]
    for shards in LONGEST if layers[0].races else ():
        columns += [f"up to {shards * GROUP_PAIRS:,}: hybrids", "told sure", "agree"]
    lines = [f"| {' | '.join(columns)} |", f"| {' | '.join(['---'] * len(columns))} |"]
    rows = [(f"{x.name} | {x.k} | {x.method}", _figures(x)) for x in layers]
    rows += [("median | | ", np.nanmedian([figures for _, figures in rows], axis=0).tolist())]
    lines += [f"| {name} | {' | '.join(f'{x:.3f}' for x in figures)} |" for name, figures in rows]
    return "\n".join(lines)


def _figures(layer: Layer) -> list[float]:
    told, agreed = np.array(layer.told), np.array(layer.agreed)
    sure = told >= SURE
    races = [x for race in layer.races for x in (race.hybrids, race.sure, race.agreement)]
    of_sure = float(agreed[sure].mean()) if sure.any() else float("nan")
    return [float(agreed.mean()), float(sure.mean()), of_sure, *races]


def reliability(layers: Sequence[Layer]) -> list[tuple[int, float, float]]:
    """Labels, mean probability and share that agree, between every two of CUTS."""
    told = np.concatenate([x.told for x in layers])
    agreed = np.concatenate([x.agreed for x in layers])
    place = np.digitize(told, CUTS) - 1
    return [
        (int(np.sum(place == i)), float(told[place == i].mean()), float(agreed[place == i].mean()))
        for i in range(len(CUTS) - 1)
        if (place == i).any()
    ]


def draw(layers: Sequence[Layer], file: Path) -> None:
    """The reliability diagram: one line a model, and all together."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 4.5), layout="constrained")
    axes.plot([0.3, 1], [0.3, 1], color="0.7", linestyle="--", label="as told")
    for model in sorted({x.name.split(".")[0] for x in layers}):
        bins = reliability([x for x in layers if x.name.split(".")[0] == model])
        some = [(told, agreed) for count, told, agreed in bins if count >= 20]
        axes.plot(*np.transpose(some), marker=".", linewidth=1, label=model)
    counts, told, agreed = np.transpose(reliability(layers))
    axes.scatter(told, agreed, s=counts / counts.max() * 200 + 10, color="black")
    axes.plot([], [], "ko", label="all, by number")
    axes.set_xlabel("probability that a label is told to have (256 pairs)")
    axes.set_ylabel("share that agrees with the labels of 4,096 pairs")
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=110)


def main() -> None:
    """Collects, or evaluates and prints tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels", description=__doc__)
    parser.add_argument("what", choices=["collect", "evaluate"])
    parser.add_argument("folder", type=Path, help="of the shards' maps")
    parser.add_argument("--model", nargs="+", default=list(shipped()), help="names or folders")
    parser.add_argument("--level", nargs="+", default=[], help="levels; default: all")
    parser.add_argument("--independent", action="store_true", help="pairs that are not stratified")
    parser.add_argument("--k", nargs="+", type=int, default=[3], help="numbers of modules")
    methods = [x.value for x in Method if not x.needs_products]
    parser.add_argument("--method", nargs="+", choices=methods, default=["nmf"])
    parser.add_argument("--runs", type=int, default=4, help="races of a layer; 0 for none")
    parser.add_argument("--figure", type=Path, help="where the reliability diagram goes")
    parser.add_argument("--json", type=Path, help="where figures go")
    given = parser.parse_args()
    if given.what == "collect":
        given.folder.mkdir(parents=True, exist_ok=True)
        collect(given.folder, given.model, given.level, not given.independent)
        return
    names = [Path(model).name for model in given.model]
    parts = {x: x.stem.split(".", 1) for x in sorted(given.folder.glob("*.npy"))}
    files = [
        x for x, (name, level) in parts.items() if name in names and _wanted(level, given.level)
    ]
    layers = []
    for file in files:
        for method, k in product(given.method, given.k):
            how = Grouping(k, Method(method))
            layers.append(evaluate(file.stem, np.load(file), how, given.runs))
            sys.stderr.write(f"{file.stem}, K = {k}, {method}\n")
    if given.json:
        given.json.write_text(json.dumps([asdict(x) for x in layers]))
    if given.figure:
        draw(layers, given.figure)
    sys.stdout.write(f"{table(layers)}\n\n| labels | told | agree |\n| --- | --- | --- |\n")
    for count, told, agreed in reliability(layers):
        sys.stdout.write(f"| {count} | {told:.2f} | {agreed:.2f} |\n")


if __name__ == "__main__":
    main()
