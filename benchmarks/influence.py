"""Hybrids a second of the elementary influence of a whole layer, by all ways in one run.

Before anything is timed, the ways' maps are compared. Then they take turns in rounds, so that a
noisy machine is noisy for all; ratios are taken within a round.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import torch

from benchmarks.arithmetic import Needed, needed
from benchmarks.contest import ENGINE, WORDS, Contender, Contest
from benchmarks.machine import Machine
from benchmarks.options import BRISK, QUICK, THOROUGH, Options
from benchmarks.progress import say
from benchmarks.roofline import Times, measured
from benchmarks.rows import Row
from benchmarks.setting import MAIN, NotHere, cut_at, opened
from benchmarks.ways._way import Maps, rate

# Other kernels sum in another order; bfloat16 keeps eight bits.
MOST_DEVIATION = {torch.float32: 1e-5, torch.bfloat16: 0.02}
# Channels whose maps are compared; what is wrong is wrong in any.
COMPARED = 16

_WARM_UP_S = 0.2


def measure(options: Options, machine: Machine) -> dict[str, object]:
    """Every generator at every level that is asked for."""
    found: dict[str, object] = {}
    with ThreadPoolExecutor(options.cores) as executor:
        for name in options.models:
            try:
                found[name] = _levels(name, options, machine, executor)
            except NotHere as reason:
                found[name] = {"skipped": str(reason)}
    return found


def _levels(
    name: str, options: Options, machine: Machine, executor: ThreadPoolExecutor
) -> dict[str, object]:
    pace = QUICK if options.quick else THOROUGH if name == MAIN else BRISK
    with opened(name, options.cores) as model:
        levels = [x for x in model.levels() if not options.levels or x in options.levels]
        if not levels:
            raise NotHere(f"{name} has none of these levels; it has: {', '.join(model.levels())}")
        found: dict[str, object] = {}
        for level in levels:
            say(f"influence: {name}, {level}")
            setting = cut_at(model, level)
            contest = Contest(setting, machine, executor, options.cores, pace, options.brief)
            found[level] = compare(contest)
        return found


def compare(contest: Contest) -> dict[str, object]:
    """One level: chooses variants, compares their maps, times them in turns."""
    contenders = contest.contenders()
    deviations = _deviations(contenders, min(COMPARED, contest.setting.channels))
    needs = needed(contest.setting)
    rates, least = _rounds(contest, contenders, needs)
    limits = {dtype: [1 / x.hybrid_s for x in rounds] for dtype, rounds in least.items()}
    parts = {dtype: Times.median(rounds) for dtype, rounds in least.items() if rounds}
    rows = [
        Row(
            str(x),
            x.note,
            tuple(rates[i]),
            deviations[i],
            tuple(limits[x.dtype]),
            parts[x.dtype].binds if x.dtype in parts else "",
        )
        for i, x in enumerate(contenders)
    ]
    return {
        "channels": contest.setting.channels,
        "layer_channels": contest.setting.layer.channels,
        "needs": asdict(needs),
        "least": {WORDS[dtype]: asdict(x) for dtype, x in parts.items()},
        "limits": {WORDS[dtype]: values for dtype, values in limits.items()},
        "rows": [asdict(row) for row in rows],
    }


def _rounds(
    contest: Contest, contenders: Sequence[Contender], needs: Needed
) -> tuple[list[list[float]], dict[torch.dtype, list[Times]]]:
    """Hybrids a second of every contender, and the least that one takes, one a round."""
    executor, pace = contest.executor, contest.pace
    rates: list[list[float]] = [[] for _ in contenders]
    least: dict[torch.dtype, list[Times]] = {x: [] for x in (torch.float32, torch.bfloat16)}
    for contender in contenders:
        if contender.way is not None:
            # Not counted, and long enough for every thread: in each, PyTorch compiles anew.
            rate(contender.way, executor, _WARM_UP_S)
    for _ in range(pace.rounds):
        limited = [torch.float32] if contest.brief else _limited(contest.machine)
        found = measured(needs, limited, executor, contest.cores, pace.turn_s / 2)
        for dtype, value in found.items():
            least[dtype].append(value)
        for contender, values in zip(contenders, rates, strict=True):
            if contender.way is not None:
                values.append(rate(contender.way, executor, pace.turn_s))
    return rates, least


def _limited(machine: Machine) -> list[torch.dtype]:
    return list(WORDS) if machine.has_bfloat16 else [torch.float32]


def _deviations(contenders: Sequence[Contender], channels: int) -> list[float | None]:
    """From this engine's maps in float32, of the first channels.

    Raises:
        RuntimeError: a way computes something else.
    """
    mine = next(x for x in contenders if x.name == ENGINE and x.dtype is torch.float32)
    assert mine.way is not None
    reference = mine.way.maps(channels)
    found = [
        deviation(x.way.maps(channels), reference, x.dtype) if x.way else None for x in contenders
    ]
    for contender, value in zip(contenders, found, strict=True):
        if value is not None and value > MOST_DEVIATION[contender.dtype]:
            raise RuntimeError(f"{contender} ({contender.note}) disagrees by {value:.2g}")
    return found


def deviation(maps: Maps, reference: Maps, dtype: torch.dtype) -> float:
    """How far maps are from a reference, (C, H, W) both.

    In float32 the largest difference, as a share of the largest influence. In bfloat16, where
    single pixels are coarse, the largest relative difference of individual influences; those of
    almost no influence are taken as a share of a twentieth of the largest.
    """
    if dtype is torch.float32:
        return float(np.abs(maps - reference).max() / reference.max())
    individual, wanted = maps.mean(axis=(1, 2)), reference.mean(axis=(1, 2))
    return float((np.abs(individual - wanted) / np.maximum(wanted, wanted.max() / 20)).max())
