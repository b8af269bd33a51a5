"""Do workers gain from being pinned to one core each?

    python -m benchmarks.pinning [--level intermediate] [--rounds 9]

Shards of the shipped VAE's influence, as many side by side as there are cores, by threads that the
system places and by threads that are pinned; in turns, so that both meet the same machine.
"""

import argparse
import itertools
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from graftscope.bundle import find_shipped, read_bundle
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    Plan,
    PriorPairs,
    SessionPool,
    Trial,
    choose,
    shard_effects,
)

_SHARDS_A_WORKER = 2


def pinned(cores: Iterable[int]) -> Callable[[], None]:
    """An initializer of worker threads: each stays on the next of these cores."""
    lock, turns = threading.Lock(), itertools.cycle(sorted(cores))

    def pin() -> None:
        with lock:
            core = next(turns)
        os.sched_setaffinity(0, {core})  # Of the calling thread alone.

    return pin


def main() -> None:
    """Prints the ratio of the rates, its median and its quartiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--level", default="intermediate")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    cores = os.sched_getaffinity(0)
    subject = _subject(options.level)
    source, plan = PriorPairs(subject.generator, 0), _plan(subject)
    print(f"{len(cores)} cores, plan {plan}")
    with (
        ThreadPoolExecutor(len(cores)) as free,
        ThreadPoolExecutor(len(cores), initializer=pinned(cores)) as fixed,
    ):

        def work(pool: ThreadPoolExecutor) -> float:
            return _seconds(pool, subject, plan, source, len(cores))

        for pool in (free, fixed):
            work(pool)  # Opens sessions and starts threads.
        ratios = []
        for turn in range(options.rounds):
            first, second = (free, fixed) if turn % 2 == 0 else (fixed, free)
            taken = {first: work(first), second: work(second)}
            ratios.append(taken[free] / taken[fixed])
            print(f"placed {taken[free]:.3f} s, pinned {taken[fixed]:.3f} s")
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"pinned threads are {median:.3f} times as fast ({low:.3f} to {high:.3f})")


def _subject(level: str) -> ChannelSets:
    bundle = read_bundle(find_shipped("vae-celeba"))
    generator = Generator(bundle, SessionPool(Device.CPU, 16))
    layer = generator.layer(level)
    return ChannelSets(generator, layer, np.eye(layer.channels, dtype=np.bool_), generator.areas(0))


def _plan(subject: ChannelSets) -> Plan:
    candidates = subject.candidates(subject.generator.backends("fp32"))
    source = PriorPairs(subject.generator, 0)
    return choose(Trial(subject, source, range(SHARD_PAIRS), Cancellation()), candidates)


def _seconds(
    pool: ThreadPoolExecutor, subject: ChannelSets, plan: Plan, source: PriorPairs, workers: int
) -> float:
    shards = [
        range(i * SHARD_PAIRS, (i + 1) * SHARD_PAIRS) for i in range(_SHARDS_A_WORKER * workers)
    ]
    started = time.perf_counter()
    list(pool.map(lambda x: shard_effects(subject, plan, source, x, Cancellation()), shards))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
