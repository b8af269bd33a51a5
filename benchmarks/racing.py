"""What is saved where channels stop one by one: hybrids and time, against the same pairs for all.

    python benchmarks/racing.py [--model NAME] [--layer NAME] [--pairs N] [--runs R] [--json FILE]

Both ways run one after the other, several times, each run with pairs of its own, on a server in
this process. What is told is the median of the times' ratios, the share of the hybrids, and how
many channels stopped by themselves; and how many of those have the label that all pairs give them.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.bundle import shipped
from graftscope.client import Client, InfluenceResult
from graftscope.server.analysis import features_of, find_modules, match_labels

RULE = "labels=0.95"


@dataclass(frozen=True)
class Run:
    """One comparison.

    Attributes:
        seconds: with the rule.
        all_seconds: with all pairs for every channel.
        share: of the hybrids.
        settled: channels that are known well enough.
        channels: in all.
        agreeing: how many of the settled have the label that all pairs give.
    """

    seconds: float
    all_seconds: float
    share: float
    settled: int
    channels: int
    agreeing: int


def labels_of(maps: NDArray[np.float64]) -> NDArray[np.int64]:
    """The modules that the rule is about."""
    return find_modules(features_of(maps, 3, 75.0), 3).labels


def compare(client: Client, model: str, layer: str, pairs: int, seed: int) -> Run:
    """Both ways on the same pairs."""

    def timed(until: str | None) -> tuple[InfluenceResult, float]:
        started = time.perf_counter()
        found = client.influence(model, layer, pairs=pairs, seed=seed, stratified=True, until=until)
        return found, time.perf_counter() - started

    every, all_seconds = timed(None)
    found, seconds = timed(RULE)
    assert found.stopping is not None
    wanted, given = labels_of(every.maps), labels_of(found.maps)
    matched = np.where(given < 0, given, match_labels(wanted, given, 3)[given])
    stopped = found.pairs_of < found.stopping.max_pairs
    return Run(
        seconds,
        all_seconds,
        float(found.pairs_of.mean() / pairs),
        found.stopping.settled,
        len(found.maps),
        int(np.count_nonzero((matched == wanted) & stopped)),
    )


def main() -> None:
    """Print what came of each run, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vae-celeba")
    parser.add_argument("--layer", default="intermediate")
    parser.add_argument("--pairs", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as state,
        Client(bundles=[shipped()[options.model]], state=state) as client,
    ):
        # The plan is chosen and the sessions are opened before anything is timed.
        client.influence(options.model, options.layer, pairs=options.pairs, seed=99)
        runs = [
            compare(client, options.model, options.layer, options.pairs, seed)
            for seed in range(options.runs)
        ]
    if options.json:
        options.json.write_text(json.dumps([asdict(run) for run in runs]))
    for run in runs:
        sys.stdout.write(
            f"{run.share:.2f} of the hybrids, {run.seconds:.1f} s for {run.all_seconds:.1f} s, "
            f"{run.settled} of {run.channels} settled, {run.agreeing} of those that stopped agree\n"
        )
    ratio = statistics.median(run.seconds / run.all_seconds for run in runs)
    share = statistics.median(run.share for run in runs)
    sys.stdout.write(f"median: {share:.2f} of the hybrids, {ratio:.2f} of the time\n")


if __name__ == "__main__":
    main()
