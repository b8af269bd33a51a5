"""What influence costs against pairs, channels, image size and workers: fitted exponents.

Time grows as its cause to the exponent: 1 means that twice as many cost twice as much. The plan is
the one that a job would get; the generator is the Table-1 VAE, with other sizes for the images.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from statistics import median

from benchmarks import markdown
from benchmarks.figures import Exponent, exponent
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.setting import PAIRS, Model, cut_at, opened_network
from benchmarks.ways.engine import chosen_plan, subject_of
from graftscope.server.engine import Cancellation, ChannelSets, Plan, PriorPairs, shard_effects
from graftscope.training.architecture import VAE_CELEBA

LEVEL = "intermediate"


@dataclass(frozen=True)
class Extent:
    """How far causes are varied, and how often each is timed."""

    shards: tuple[int, ...] = (2, 4, 8, 16)
    channels: tuple[int, ...] = (8, 16, 32, 64)
    base_sizes: tuple[int, ...] = (4, 8, 16)
    rounds: int = 2


QUICK = Extent((1, 2), (32, 64), (4, 8), rounds=1)


@dataclass(frozen=True, eq=False)
class Job:
    """An influence job without a server.

    Attributes:
        subject: whose influence.
        plan: the size of a run.
        shards: of 32 pairs each.
        workers: shards side by side.
    """

    subject: ChannelSets
    plan: Plan
    shards: int
    workers: int

    def seconds(self) -> float:
        """How long it takes."""
        started = time.perf_counter()
        with ThreadPoolExecutor(self.workers) as executor:
            list(executor.map(self._shard, range(self.shards)))
        return time.perf_counter() - started

    def _shard(self, number: int) -> None:
        source = PriorPairs(self.subject.generator, 0)
        pairs = range(number * PAIRS, (number + 1) * PAIRS)
        shard_effects(self.subject, self.plan, source, pairs, Cancellation())


def measure(options: Options, _: Machine) -> dict[str, object]:
    """Seconds and the exponent of every cause."""
    extent = QUICK if options.quick else Extent()
    with ExitStack() as stack:
        sizes = [replace(VAE_CELEBA, base_size=size) for size in extent.base_sizes]
        models = [stack.enter_context(opened_network(x, options.cores)) for x in sizes]
        causes = _causes(models, extent, options.cores)
        return {name: _timed(name, jobs, extent.rounds) for name, jobs in causes.items()}


def _causes(models: Sequence[Model], extent: Extent, cores: int) -> dict[str, dict[int, Job]]:
    """Jobs by what is varied, and by its value; all else stays."""
    jobs = {model.generator.image_shape[1]: _job(model, cores) for model in models}
    base = jobs[VAE_CELEBA.image_size]
    sets = base.subject.sets
    subjects = {n: replace(base.subject, sets=sets[:n]) for n in extent.channels}
    workers = sorted({1, *(2**i for i in range(1, cores.bit_length())), cores})
    return {
        "pairs": {n * PAIRS: replace(base, shards=n) for n in extent.shards},
        "channels": {n: replace(base, subject=subject) for n, subject in subjects.items()},
        "pixels of the image": {side**2: job for side, job in jobs.items()},
        "workers": {n: replace(base, workers=n) for n in workers if n <= cores},
    }


def _job(model: Model, cores: int) -> Job:
    setting = cut_at(model, LEVEL)
    subject = subject_of(setting)
    return Job(subject, chosen_plan(setting, subject, "fp32"), 2 * cores, cores)


def _timed(name: str, jobs: Mapping[int, Job], rounds: int) -> dict[str, object]:
    """Jobs take turns, after one of each that is not counted: it opens sessions."""
    say(f"  {name}: {', '.join(map(str, jobs))}")
    for job in jobs.values():
        replace(job, shards=1).seconds()
    times = [[job.seconds() for job in jobs.values()] for _ in range(rounds)]
    seconds = [median(column) for column in zip(*times, strict=True)]
    fitted = asdict(exponent(list(jobs), seconds)) if len(jobs) > 1 else None
    return {"values": list(jobs), "seconds": seconds, "exponent": fitted}


def table(result: Mapping[str, object]) -> str:
    """One row a cause."""
    rows = []
    for name, found in result.items():
        assert isinstance(found, dict)
        seconds = ", ".join(f"{x:.2f}" for x in found["seconds"])
        fitted = markdown.power(Exponent(**found["exponent"])) if found["exponent"] else "-"
        rows.append([name, ", ".join(map(str, found["values"])), seconds, fitted])
    text = f"Table-1 VAE CelebA, {LEVEL}, float32; 1 means twice as many cost twice as much."
    return f"{text}\n\n{markdown.table(['cause', 'values', 'seconds', 'exponent'], rows)}"
