"""Where a hybrid's time goes: ONNX Runtime's own profiler on the sessions of the chosen plan.

A single thread computes shards as a job does. Every node's time is a share of a hybrid's, beside
its share of the multiply-adds; what the nodes leave is ONNX Runtime between them, the profiler
itself included, and Python around them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks import markdown
from benchmarks.gemm import gemm_rate
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.profiled import NodeTime, ProfiledPool, Seen
from benchmarks.progress import say
from benchmarks.setting import DCGAN, MAIN, MODELS, PAIRS, Model, Setting, cut_at, opened
from benchmarks.ways.engine import CPU, chosen_plan, described, subject_of
from graftscope.bundle import read_bundle
from graftscope.server.engine import Cancellation, Generator, Plan, shard_effects

_SHARDS = 3
_MOST_NODES = 12
_GEMM_S = 0.3


@dataclass(frozen=True)
class Part:
    """A part of a hybrid's time.

    Attributes:
        name: an operation, or a node.
        microseconds: of a hybrid.
        share: of a hybrid's time.
        arithmetic: share of the multiply-adds.
        speed: its multiply-adds a second as a share of what matrix products reach; 0 for none.
    """

    name: str
    microseconds: float
    share: float
    arithmetic: float
    speed: float


def measure(options: Options, machine: Machine) -> dict[str, object]:
    """One generator at every level, or those that were asked for; on the CPU provider alone,
    since others tell nothing of their nodes.
    """
    found: dict[str, object] = {}
    names = [MAIN] if options.models == MODELS else [x for x in options.models if x != DCGAN]
    for name in names:
        with opened(name, 1) as model:
            levels = [x for x in model.levels() if not options.levels or x in options.levels]
            found[name] = {level: _level(model, level, options) for level in levels}
    return found


def _level(model: Model, level: str, options: Options) -> dict[str, object]:
    say(f"  {model.name}, {level}")
    setting = cut_at(model, level)
    plan = chosen_plan(setting, subject_of(setting), "fp32", CPU, compiled=False)
    shards = 1 if options.quick else _SHARDS
    with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
        before = gemm_rate(torch.float32, executor, 1, _GEMM_S)
        seen, wall_s = _profile(setting, plan, Path(folder), shards)
        gemm = (before + gemm_rate(torch.float32, executor, 1, _GEMM_S)) / 2
    hybrids = shards * PAIRS * setting.channels
    parts = Shares(wall_s, hybrids, sum(x.multiply_adds for x in seen.nodes), gemm)
    return {
        "plan": described(plan),
        "microseconds": wall_s / hybrids * 1e6,
        "between_nodes": (seen.running_s - sum(x.seconds for x in seen.nodes)) / wall_s,
        "outside_sessions": 1 - seen.running_s / wall_s,
        "operations": parts.by(seen.nodes, lambda x: x.operation),
        "nodes": parts.by(seen.nodes, lambda x: f"{x.graph}: {x.node} ({x.operation})"),
    }


def _profile(setting: Setting, plan: Plan, folder: Path, shards: int) -> tuple[Seen, float]:
    """Shards after one that is not counted, and the seconds that they took."""
    pool = ProfiledPool(folder)
    generator = Generator(read_bundle(setting.model.folder), pool)
    model = Model(setting.model.name, None, generator, setting.model.folder)
    subject = subject_of(replace(setting, model=model))
    started = time.perf_counter()
    for shard in range(1 + shards):
        if shard == 1:
            started = time.perf_counter()
        shard_effects(subject, plan, setting.source, range(PAIRS), Cancellation())
    wall_s = time.perf_counter() - started
    return pool.seen(shards / (1 + shards)), wall_s


@dataclass(frozen=True)
class Shares:
    """What parts are shares of.

    Attributes:
        wall_s: seconds of all hybrids.
        hybrids: how many.
        multiply_adds: of all nodes together.
        gemm: multiply-adds a second of matrix products.
    """

    wall_s: float
    hybrids: int
    multiply_adds: int
    gemm: float

    def by(
        self, nodes: Sequence[NodeTime], key: Callable[[NodeTime], str]
    ) -> list[dict[str, object]]:
        """Nodes grouped, those that take longest first."""
        groups: dict[str, list[NodeTime]] = {}
        for node in nodes:
            groups.setdefault(key(node), []).append(node)
        parts = [self._part(name, group) for name, group in groups.items()]
        return [asdict(x) for x in sorted(parts, key=lambda part: -part.share)]

    def _part(self, name: str, nodes: Sequence[NodeTime]) -> Part:
        seconds = sum(x.seconds for x in nodes)
        work = sum(x.multiply_adds for x in nodes)
        return Part(
            name,
            seconds / self.hybrids * 1e6,
            seconds / self.wall_s,
            work / max(self.multiply_adds, 1),
            work / max(seconds, 1e-9) / self.gemm,
        )


def table(result: Mapping[str, object]) -> str:
    """Operations, then the nodes that take longest, of every level."""
    parts = []
    for name, levels in result.items():
        assert isinstance(levels, dict)
        parts += [_text(f"{name}, {level}", found) for level, found in levels.items()]
    return "\n\n".join(parts)


def _text(title: str, found: Mapping[str, object]) -> str:
    operations, nodes = found["operations"], found["nodes"]
    assert isinstance(operations, list)
    assert isinstance(nodes, list)
    heads = ["", "µs a hybrid", "of its time", "of multiply-adds", "of matrix products' speed"]
    tables = [
        markdown.table([name, *heads[1:]], [_cells(Part(**x)) for x in parts[:_MOST_NODES]])
        for name, parts in (("operation", operations), ("node", nodes))
    ]
    text = (
        f"{found['plan']}; one thread, {found['microseconds']:.0f} µs a hybrid. Between nodes "
        f"{markdown.share(_float(found['between_nodes']))}, outside sessions "
        f"{markdown.share(_float(found['outside_sessions']))}."
    )
    return "\n\n".join([f"### {title}", text, *tables])


def _cells(part: Part) -> list[str]:
    speed = markdown.share(part.speed) if part.speed else "-"
    arithmetic = markdown.share(part.arithmetic) if part.arithmetic else "-"
    return [part.name, f"{part.microseconds:.1f}", markdown.share(part.share), arithmetic, speed]


def _float(value: object) -> float:
    assert isinstance(value, float)
    return value
