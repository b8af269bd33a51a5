"""A whole layer of generators of 512 x 512: time and memory, plain, rewritten, and with torch.

Every way has a process of its own, one after another in rounds; ratios are taken within a round.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks import markdown
from benchmarks.bundles import export_module
from benchmarks.figures import Spread
from benchmarks.large_layer import CHOSEN, PLAIN
from benchmarks.large_models import LATENTS, MAKERS
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.progress import say

LAYERS = {"plain_decoder": "3", "stylegan2": "convs.9.activate"}
"""At 128 x 128, 64 channels, in the middle of what is left to compute."""

ROUNDS, QUICK_ROUNDS = 3, 1
MOST_DEVIATION = 1e-4
"""Of the largest influence: float32 sums over a quarter of a million pixels, by other kernels."""

_WAYS = {"torch, hooks, float32": None, "graftscope, plain path": PLAIN, "graftscope": CHOSEN}
_TORCH, _BEFORE, _ = _WAYS


def measure(options: Options, _: Machine) -> dict[str, object]:
    """Every way in rounds, of both generators."""
    found: dict[str, object] = {}
    for name, layer in LAYERS.items():
        with TemporaryDirectory() as folder:
            bundle = Path(folder) / name
            latents = {"z": torch.randn(2, LATENTS)}
            export_module(MAKERS[name](), latents, bundle, layers=[layer])
            rounds = QUICK_ROUNDS if options.quick else ROUNDS
            found[name] = [_round(bundle, name, options.cores) for _ in range(rounds)]
    return found


def _round(bundle: Path, name: str, workers: int) -> dict[str, dict[str, object]]:
    found = {}
    for way, word in _WAYS.items():
        arguments = [str(bundle), LAYERS[name], word or name, str(workers)]
        command = [sys.executable, "-m", "benchmarks.large_layer", *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        found[way] = json.loads(done.stdout)
        note, seconds, peak = (found[way][x] for x in ("note", "seconds", "peak_mb"))
        say(f"  {name}, {way} ({note}): {1e3 * seconds:.0f} ms a hybrid, {peak:.0f} MB")
    _require_same(found)
    return found


def _require_same(found: Mapping[str, Mapping[str, object]]) -> None:
    influences = {way: np.array(x["influences"]) for way, x in found.items()}
    wanted = influences[_BEFORE]
    for way, own in influences.items():
        deviation = float(np.abs(own - wanted).max() / wanted.max())
        if deviation > MOST_DEVIATION:
            raise RuntimeError(f"{way} disagrees by {deviation:.2g}")


def table(result: Mapping[str, object]) -> str:
    """One row a way."""
    heads = [
        "generator, variant",
        "way",
        "ms a hybrid",
        "processor ms",
        "x torch",
        "x plain path",
        "peak MB",
        "of it more",
    ]
    rows = []
    for name, rounds in result.items():
        assert isinstance(rounds, list)
        seconds = {way: [x[way]["seconds"] for x in rounds] for way in _WAYS}
        for way in _WAYS:
            busy, peaks, more = (
                Spread.of([x[way][part] for x in rounds]).median
                for part in ("processor_s", "peak_mb", "more_mb")
            )
            rows.append(
                [
                    f"{name}, {rounds[-1][way]['note']}",
                    way,
                    markdown.spread(Spread.of([1e3 * x for x in seconds[way]])),
                    f"{1e3 * busy:.0f}",
                    markdown.ratio(Spread.of_ratios(seconds[_TORCH], seconds[way])),
                    markdown.ratio(Spread.of_ratios(seconds[_BEFORE], seconds[way])),
                    f"{peaks:.0f}",
                    f"{more:.0f}",
                ]
            )
    return markdown.table(heads, rows, text=(0, 1))
