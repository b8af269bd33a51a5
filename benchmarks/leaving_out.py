"""What each rewrite of the graph gains: the engine with all of them, and with each one left out.

A single thread computes the same pairs by all plans in turns. A ratio above 1 says that the engine
is slower without that rewrite. Every plan has runs of the size that the engine chose with all.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from benchmarks import markdown
from benchmarks.figures import Spread
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.setting import PAIRS, NotHere, Setting, cut_at, opened
from benchmarks.ways._way import Step, timed
from benchmarks.ways.engine import CPU, chosen_plan, described, subject_of
from graftscope.graph.rewrites import REWRITES
from graftscope.server.engine import Cancellation, ChannelSets, Plan, shard_effects

# The image's level is left out: a hybrid is little but its sum there. The DCGAN's file still has
# the batch normalisation that PyTorch's exporter folds.
LEVELS = {
    "vae-celeba": ("coarse", "intermediate", "fine"),
    "celeba64_dcgan": ("5.Relu", "8.Relu"),
}
ALL, NONE = "all", "none"

_PAIRS = range(PAIRS // 2)
_ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """One plan.

    Attributes:
        name: the rewrite that is left out; all or none of them.
        microseconds: a hybrid, in every round.
    """

    name: str
    microseconds: tuple[float, ...]


def measure(options: Options, _: Machine) -> dict[str, object]:
    """Some levels of the generators that are asked for, where they are here."""
    found: dict[str, object] = {}
    for name in options.models:
        levels = [x for x in LEVELS.get(name, ()) if not options.levels or x in options.levels]
        if not levels:
            continue
        try:
            with opened(name, 1) as model:
                for level in levels:
                    found[f"{name}, {level}"] = _level(cut_at(model, level), options)
        except NotHere as reason:
            say(f"  {name}: {reason}")
    return found


def _level(setting: Setting, options: Options) -> dict[str, object]:
    subject = subject_of(setting)
    graphs = chosen_plan(setting, subject, "fp32", CPU, compiled=False)
    best = replace(graphs, rewrites=REWRITES)
    say(f"  {setting.layer.level or setting.layer.name}: {described(best)}")
    steps = {name: _step(setting, subject, plan) for name, plan in plans(best).items()}
    for step in steps.values():
        step()
    rounds = [
        {name: 1e6 / timed(step, 0.0) for name, step in steps.items()}
        for _ in range(1 if options.quick else _ROUNDS)
    ]
    rows = [Row(name, tuple(x[name] for x in rounds)) for name in steps]
    return {"plan": described(best), "rows": [asdict(row) for row in rows]}


def plans(best: Plan) -> dict[str, Plan]:
    """The plan, the same without each rewrite, and the same without any."""
    without = {x: tuple(y for y in best.rewrites if y != x) for x in best.rewrites}
    names = {ALL: best.rewrites, **without, NONE: ()}
    return {name: replace(best, rewrites=rewrites) for name, rewrites in names.items()}


def _step(setting: Setting, subject: ChannelSets, plan: Plan) -> Step:
    def step() -> int:
        shard_effects(subject, plan, setting.source, _PAIRS, Cancellation())
        return len(_PAIRS) * len(subject)

    return step


def table(result: Mapping[str, object]) -> str:
    """A table a level."""
    parts = []
    for level, found in result.items():
        assert isinstance(found, dict)
        rows = [Row(**x) for x in found["rows"]]
        cells = [_cells(row, rows[0]) for row in rows]
        heads = ["rewrites", "µs a hybrid", "x with all"]
        parts.append(f"### {level}\n\n{found['plan']}.\n\n{markdown.table(heads, cells)}")
    return "\n\n".join(parts)


def _cells(row: Row, best: Row) -> list[str]:
    name = row.name if row.name in (ALL, NONE) else f"all but {row.name}"
    times = markdown.ratio(Spread.of_ratios(row.microseconds, best.microseconds))
    return [name, markdown.spread(Spread.of(row.microseconds)), times]
