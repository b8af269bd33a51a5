"""What compiled code gains over torch, ONNX halves and rewritten graphs, in thread time a hybrid.

    python -m benchmarks.compiled [MODEL:LEVEL,LEVEL ...]

Every way does whole shards of 32 pairs of all channels with their originals, on one thread, in
turns; the least thread time of three turns counts, which other work on the machine changes little.
torch is eager, with hooks, in the faster of both layouts. A table goes to standard output.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence

import torch

from benchmarks.setting import NotHere, Setting, cut_at, opened
from benchmarks.ways import torch_hooks
from benchmarks.ways._torch import forms
from benchmarks.ways._way import Loop
from benchmarks.ways.engine import subject_of
from benchmarks.ways.halves import Halves
from graftscope.graph.rewrites import COMPILE, REWRITES
from graftscope.server.engine import Cancellation, shard_effects

DEFAULT = (
    "vae-celeba:image,fine,intermediate,coarse",
    "gan-celeba:image,fine",
    "vae-cifar10:image",
    "gan-cifar10:image",
)
LAYOUTS = ("contiguous", "channels_last")
TURNS = 3
COLUMNS = (
    "generator, level",
    "torch, hooks",
    "ONNX halves, numpy splice",
    "rewritten graphs",
    "compiled",
    "x torch",
    "x halves",
    "x rewritten",
)


def ways(setting: Setting) -> Mapping[str, Callable[[], object]]:
    """A shard by each way, by name."""
    subject, cancellation, batch = subject_of(setting), Cancellation(), setting.pairs
    plans = subject.candidates([setting.model.generator.backend])
    rewritten = next(x for x in plans if x.rewrites == REWRITES)
    compiled = next((x for x in plans if COMPILE in x.rewrites), None)
    if compiled is None:
        raise NotHere("nothing is compiled without llvmlite: pip install '.[compile]'")

    def looped(splicer: torch_hooks.Hooks | Halves) -> Callable[[], object]:
        loop = Loop(splicer, setting.channels, setting.pairs, batch)
        return lambda: loop.maps(setting.channels)

    hooks = {
        layout: looped(torch_hooks.Hooks(setting, forms(torch.float32, layout, 1, (batch,))[0]))
        for layout in LAYOUTS
    }
    pairs = range(setting.pairs)
    return {
        **hooks,
        "halves": looped(Halves(setting, 1)),
        "rewritten": lambda: shard_effects(subject, rewritten, setting.source, pairs, cancellation),
        "compiled": lambda: shard_effects(subject, compiled, setting.source, pairs, cancellation),
    }


def thread_us(todo: Mapping[str, Callable[[], object]], hybrids: int) -> list[float]:
    """Microseconds of thread time a hybrid, of each way, the least of some turns."""
    for each in todo.values():
        each()
    least = dict.fromkeys(todo, float("inf"))
    for _ in range(TURNS):
        for name, each in todo.items():
            before = time.thread_time()
            each()
            least[name] = min(least[name], (time.thread_time() - before) * 1e6 / hybrids)
    return list(least.values())


def main(arguments: Sequence[str]) -> None:
    """Measures, and writes a row a level."""
    torch.set_num_threads(1)
    print(f"| {' | '.join(COLUMNS)} |")
    print("| --- " * len(COLUMNS) + "|")
    for argument in arguments or DEFAULT:
        name, _, levels = argument.partition(":")
        with opened(name, 1) as model:
            for level in levels.split(","):
                setting = cut_at(model, level)
                todo = ways(setting)
                *layouts, halves, rewritten, compiled = thread_us(
                    todo, setting.pairs * setting.channels
                )
                hooks = min(layouts)
                times = " | ".join(f"{x:,.0f} µs" for x in (hooks, halves, rewritten, compiled))
                ratios = " | ".join(f"{x / compiled:.1f}" for x in (hooks, halves, rewritten))
                row = f"| {name}, {level} | {times} | {ratios} |"
                print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
