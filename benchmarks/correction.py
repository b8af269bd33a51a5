"""What rounding to bfloat16 does to influence, and what correcting it by float32 makes of that.

    python benchmarks/correction.py [--pairs N] [--levels LEVEL,...] [--json FILE]

On processors without such arithmetic too: factors are rounded, and products are computed in float32
(`rounding`). Both precisions are run on all pairs, so that the errors of both estimates are known
but for what differs between pairs. All figures are of individual influences, in percent of them:

- bias: mean difference of bfloat16 from float32 over all pairs, median and worst of the channels;
- told: the standard error of an estimate of so many pairs, which says nothing of the bias;
- correction: its own standard error, from the pairs that a job of so many corrects;
- left: how far the corrected estimate is from float32's of the same pairs, the root mean square
  over the jobs that the pairs make up;
- z: of that over those jobs, bfloat16's mean error and the corrected one's in their standard
  errors, the root mean square over channels: 1 where there is no bias;
- ratio: var(float32 - bfloat16) / var(float32) of map entries, which decides with the costs how
  many pairs are corrected; and the time of both levels at equal standard errors as a share of
  float32's, for a bfloat16 that is 3 times as fast and jobs of 1,000 pairs.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.rounding import ROUNDED, RoundingPool
from graftscope.bundle import shipped
from graftscope.server.analysis import best_share, relative_cost
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Generator,
    Plan,
    PriorPairs,
    Trial,
    open_bundles,
)
from graftscope.server.engine._deviation import batch_means

Array = NDArray[np.float64]

MODEL = "vae-celeba"
EVERY_CHANNEL = 4
CORRECTED_PAIRS = 16
JOB_PAIRS = 64
SPEED_UP = 3.0
PAIRS_OF_COST = 1000


@dataclass(frozen=True)
class Found:
    """Figures of a level; see the module's head. Shares of influences, not percent."""

    level: str
    bias_median: float
    bias_worst: float
    told: float
    correction: float
    left: float
    cheap_z: float
    corrected_z: float
    ratio: float
    cost: float


def measure(generator: Generator, level: str, pairs: int) -> Found:
    """Runs every pair in both precisions, one by one."""
    layer = generator.layer(level)
    sets = np.eye(layer.channels, dtype=np.bool_)[::EVERY_CHANNEL]
    subject = ChannelSets(generator, layer, sets, generator.areas(32))
    trial = Trial(subject, PriorPairs(generator, 0), range(pairs), Cancellation())
    # The fastest rewrites differ from machine to machine; what rounding does hardly does.
    fast = replace(subject.candidates(generator.backends("fp32"))[-1], batch=1)
    cheap, exact = (_maps(trial, x) for x in (fast.on(ROUNDED), fast))
    return _found(level, cheap, exact)


def _maps(trial: Trial, plan: Plan) -> Array:
    return batch_means(trial, plan, trial.pairs, range(len(trial.subject)))


def _found(level: str, cheap: Array, exact: Array) -> Found:
    """Figures of (N, E, h, w) in both precisions."""
    differences = exact - cheap
    ratio = float((differences.var(axis=0, ddof=1).sum() / exact.var(axis=0, ddof=1).sum()).item())
    of = exact.mean(axis=(0, 2, 3))  # (E,)
    before, after = (x.mean(axis=(2, 3)) / of for x in (cheap, exact))  # (N, E)
    bias = np.abs((before - after).mean(axis=0))
    jobs = [slice(i, i + JOB_PAIRS) for i in range(0, len(before) - JOB_PAIRS + 1, JOB_PAIRS)]
    plain = np.array([(before[x] - after[x]).mean(axis=0) for x in jobs])  # (R, E)
    corrections = [(after - before)[x][:CORRECTED_PAIRS].mean(axis=0) for x in jobs]
    left = plain + np.array(corrections)
    spread = (after - before).std(axis=0, ddof=1)
    share = max(CORRECTED_PAIRS / PAIRS_OF_COST, best_share(1.0, SPEED_UP, ratio))
    return Found(
        level,
        float(np.median(bias)),
        float(bias.max()),
        float(np.median(after.std(axis=0, ddof=1)) / JOB_PAIRS**0.5),
        float(np.median(spread) / CORRECTED_PAIRS**0.5),
        float(np.sqrt(np.square(left).mean())),
        _z(plain),
        _z(left),
        ratio,
        relative_cost(share, 1.0, SPEED_UP, ratio),
    )


def _z(errors: Array) -> float:
    """Root mean square over channels of the mean error in its standard errors; (R, E)."""
    z = errors.mean(axis=0) / errors.std(axis=0, ddof=1) * len(errors) ** 0.5
    return float(np.sqrt(np.square(z).mean()))


def table(found: Sequence[Found]) -> str:
    """The figures as Markdown."""
    heads = (
        "level",
        "bias, median (worst)",
        f"told of {JOB_PAIRS} pairs",
        f"correction of {CORRECTED_PAIRS}",
        "left",
        "z, bfloat16",
        "z, corrected",
        "ratio",
        "cost",
    )
    rows = [
        (
            x.level,
            f"{x.bias_median:.2%} ({x.bias_worst:.2%})",
            f"{x.told:.1%}",
            f"{x.correction:.3%}",
            f"{x.left:.3%}",
            f"{x.cheap_z:.1f}",
            f"{x.corrected_z:.1f}",
            f"{x.ratio:.1e}",
            f"{x.cost:.2f}",
        )
        for x in found
    ]
    lines = (heads, ("---",) * len(heads), *rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--levels", default="coarse,intermediate,fine,image")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    (folder,) = open_bundles([shipped()[MODEL]])
    generator = Generator(folder, RoundingPool(16))
    found = [measure(generator, level, options.pairs) for level in options.levels.split(",")]
    if options.json:
        options.json.write_text(json.dumps([asdict(x) for x in found], indent=2) + "\n")
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
