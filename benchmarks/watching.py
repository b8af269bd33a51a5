"""What it costs a job that somebody watches it: the same job with nobody, and with those who ask.

    python -m benchmarks.watching --workers 2

Each job has a server of its own, so that the process in which modules are found is started in each;
the ways take turns, and each is compared with nobody's in the same round. Processor time of the
server and of all its processes tells most: others of the machine cannot add to it, though what
they leave of the caches changes it, and so does another plan. What the processes in which modules
are found take is told apart, and depends on neither.
"""

import argparse
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import psutil

from benchmarks import markdown
from benchmarks.figures import Spread
from benchmarks.machine import cores
from benchmarks.progress import say
from benchmarks.serving_load import MODEL, serving
from graftscope.client import Client, InfluenceTask

LEVEL = "intermediate"


@dataclass(frozen=True)
class Way:
    """How a job is watched.

    Attributes:
        watchers: how many watch it.
        maps: whether they ask for maps so far.
        modules: how many modules they ask for; None for none.
    """

    watchers: int
    maps: bool = False
    modules: int | None = None


WAYS: Mapping[str, Way] = {
    "nobody": Way(0),
    "one, progress alone": Way(1),
    "one, maps": Way(1, maps=True),
    "one, modules": Way(1, modules=3),
    "ten, maps and modules": Way(10, maps=True, modules=3),
}


@dataclass(frozen=True)
class Cost:
    """What a job took.

    Attributes:
        cpu_s: processor time of the server and its processes.
        wall_s: seconds from its creation to its end.
        found_s: how much of it went into finding modules, processes' start included.
        answers: how many different answers about modules the first watcher got.
    """

    cpu_s: float
    wall_s: float
    found_s: float
    answers: int


def cost(way: Way, pairs: int, seed: int, workers: int) -> Cost:
    """Runs a job on a server of its own."""
    with serving(workers) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server.address)) for _ in range(way.watchers + 1)]
        clients[0].influence(MODEL, LEVEL, pairs=32, seed=seed)  # Opens sessions, finds a plan.
        process, answers = psutil.Process(server.process), set[int]()
        before_s, found_before_s = _own_s(process), _processes_s(process)
        started_s = time.perf_counter()
        job = clients[0].start(InfluenceTask(MODEL, LEVEL, pairs=pairs, seed=seed + 1))

        def follow(client: Client) -> None:
            for state in client.watch(job.name, modules=way.modules, maps=way.maps):
                if client is clients[1] and state.so_far and state.so_far.modules:
                    answers.add(state.so_far.modules.pairs)

        watching = [threading.Thread(target=follow, args=(each,)) for each in clients[1:]]
        for each in watching:
            each.start()
        clients[0].wait(job.name)
        wall_s = time.perf_counter() - started_s
        for each in watching:
            each.join()
        found_s = _processes_s(process) - found_before_s
        cpu_s = _own_s(process) - before_s + found_s
        return Cost(cpu_s, wall_s, found_s, len(answers - {0}))


def _own_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _processes_s(process: psutil.Process) -> float:
    """Of the processes that a server has started, whether they are there or not."""
    times = process.cpu_times()
    gone = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(gone) + sum(map(_own_s, process.children(recursive=True)))


def measure(pairs: int, rounds: int, workers: int) -> dict[str, list[Cost]]:
    """Every way's costs, one a round."""
    found: dict[str, list[Cost]] = {name: [] for name in WAYS}
    for seed in range(rounds):
        for name, way in WAYS.items():
            found[name].append(cost(way, pairs, 2 * seed, workers))
            say(f"round {seed + 1}, {name}: {found[name][-1]}")
    return found


def table(found: Mapping[str, Sequence[Cost]]) -> str:
    """One row a way."""
    nobody = found["nobody"]
    rows = [
        [
            name,
            markdown.spread(Spread.of([each.cpu_s for each in costs])),
            markdown.ratio(Spread.of_ratios(_cpus(costs), _cpus(nobody))),
            markdown.ratio(Spread.of_ratios(_walls(costs), _walls(nobody))),
            markdown.share(max(each.found_s / each.cpu_s for each in costs)),
            markdown.spread(Spread.of([each.answers for each in costs])),
        ]
        for name, costs in found.items()
    ]
    heads = ["who watches", "processor s", "of nobody's", "wall time of nobody's"]
    heads += ["finding modules, at most", "answers"]
    return markdown.table(heads, rows)


def _cpus(costs: Sequence[Cost]) -> list[float]:
    return [each.cpu_s for each in costs]


def _walls(costs: Sequence[Cost]) -> list[float]:
    return [each.wall_s for each in costs]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=cores())
    given = parser.parse_args()
    print(table(measure(given.pairs, given.rounds, given.workers)))


if __name__ == "__main__":
    main()
