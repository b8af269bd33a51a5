"""What a server takes of disk and memory, beside what the formulas of docs/operations.md say.

    python -m benchmarks.sizes

Each figure is of a server in a process of its own, over an empty state folder.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import markdown
from benchmarks.machine import this_machine
from benchmarks.progress import say
from benchmarks.serving_load import MODEL, Served, serving
from graftscope.bundle import shipped
from graftscope.client import Client, InfluenceTask

MIB = 2**20
_SMALL_JOBS = 200
_PAIRS_OF_LONG = 1024
_MAPS_MOST_GROUPS = 16
_SHARD_PAIRS = 32


@dataclass(frozen=True)
class Size:
    """A size as it was measured, and as a formula has it; bytes."""

    what: str
    measured: float
    formula: float

    @property
    def cells(self) -> list[str]:
        """As a row: both in MiB, and the quotient of the formula by what was measured."""
        both = [f"{number / MIB:,.2f}" for number in (self.measured, self.formula)]
        return [self.what, *both, f"{self.formula / self.measured:.2f}"]


@contextmanager
def kept(options: Sequence[str] = ()) -> Iterator[tuple[Served, Path]]:
    """A server, and its state folder."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(2, options=options, state=Path(folder)) as server,
    ):
        yield server, Path(folder)


def result_bytes(maps: int, pixels: int, pairs: int) -> int:
    """What an influence job's result takes on disk.

    Args:
        maps: how many maps it has.
        pixels: of each map.
        pairs: of originals.
    """
    groups = min(-(-pairs // _SHARD_PAIRS), _MAPS_MOST_GROUPS)
    return maps * pixels * (16 + 2 * groups)


def folder_bytes(folder: Path) -> int:
    """What lies in a folder, at any depth."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def resident_bytes(served: Served) -> int:
    """What a server and its processes have in memory."""
    process = psutil.Process(served.process)
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))


def models() -> list[Size]:
    """Copies of bundles on disk, and a server at rest with one and with all of them."""
    bundles = shipped()
    rest: dict[int, int] = {}
    sizes = []
    for count in (1, len(bundles)):
        served_bundles = list(bundles.values())[:count]
        options = [word for bundle in served_bundles for word in ("--bundles", str(bundle))]
        with kept(options) as (server, state):
            rest[count] = resident_bytes(server)
            wanted = sum(folder_bytes(bundle) for bundle in served_bundles)
            copied = folder_bytes(state / "models")
            sizes.append(Size(f"{count} bundles in `models`", copied, wanted))
    sizes.append(Size(f"a server at rest, {len(bundles)} bundles", rest[len(bundles)], 200 * MIB))
    return sizes


def results() -> list[Size]:
    """Results of influence jobs of several numbers of pairs and sizes of maps."""
    sizes = []
    with kept() as (server, state), Client(server.address) as client:
        for pairs, side in ((32, 64), (512, 64), (512, 16)):
            before = folder_bytes(state / "artifacts")
            done = client.influence(MODEL, "intermediate", pairs=pairs, map_size=side, seed=side)
            grown = folder_bytes(state / "artifacts") - before
            maps, height, width = done.maps.shape
            what = f"result of {maps} maps of {height} x {width}, {pairs} pairs"
            sizes.append(Size(what, grown, result_bytes(maps, height * width, pairs)))
    return sizes


def checkpoints() -> list[Size]:
    """The most that the checkpoints of a running job take."""
    most = 0
    with kept() as (server, state), Client(server.address) as client:
        job = client.start(InfluenceTask(MODEL, "intermediate", pairs=_PAIRS_OF_LONG))
        for _ in client.watch(job.name):
            most = max(most, folder_bytes(state / "checkpoints"))
        maps, pixels = 64, 64 * 64
    return [Size("checkpoints of that job", most, 2.5 * result_bytes(maps, pixels, _PAIRS_OF_LONG))]


def rows() -> list[Size]:
    """A job's row in the database of jobs."""
    with kept() as (server, state), Client(server.address) as client:
        for seed in range(_SMALL_JOBS):
            client.influence(MODEL, "intermediate", channels=[0], pairs=1, map_size=4, seed=seed)
        database = sum(file.stat().st_size for file in state.glob("jobs.db*"))
    return [Size(f"database of {_SMALL_JOBS} jobs", database, _SMALL_JOBS * 32 * 1024)]


def sessions() -> list[Size]:
    """What open sessions add: a hybrid at every layer of every generator."""
    added = []
    with kept() as (server, _), Client(server.address) as client:
        before = resident_bytes(server)
        for model in client.models():
            for layer in model.layers:
                client.hybridize(model.name, layer.name, [0], pairs=1)
                added.append(resident_bytes(server) - before)
        return [Size(f"{len(added)} layers' sessions, all open", added[-1], 24 * 6 * MIB)]


MEASURES: dict[str, Callable[[], list[Size]]] = {
    "models": models,
    "results": results,
    "checkpoints": checkpoints,
    "rows": rows,
    "sessions": sessions,
}


def main() -> None:
    """Measures what is asked for, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    # So often that a short job has two of them.
    os.environ["GRAFTSCOPE_CHECKPOINT_S"] = "0.5"
    found = []
    for name in parser.parse_args().only:
        say(f"{name} ...")
        found += MEASURES[name]()
    print(f"{this_machine()}\n")
    heads = ["what", "measured, MiB", "formula, MiB", "formula / measured"]
    print(markdown.table(heads, [each.cells for each in found]))
    quotients = [each.formula / each.measured for each in found]
    print(f"\nMedian of the quotients: {statistics.median(quotients):.2f}")


if __name__ == "__main__":
    main()
