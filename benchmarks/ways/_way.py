"""A way, cut into steps so that it can be timed in short turns."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float64]
Step = Callable[[], int]


class Splicer(Protocol):
    """How one library swaps a channel, a batch of pairs at a time."""

    def begin(self, rows: slice) -> None:
        """Records both originals of some pairs."""

    def effect(self, channel: int) -> NDArray[np.float32]:
        """(H, W): the sum over those pairs of |hybrid - original 1|, averaged over colour."""


@dataclass(frozen=True, eq=False)
class Way:
    """One variant of one way.

    Attributes:
        name: what distinguishes it from its other variants.
        maps: influence maps of some channels, the first ones, over all pairs, (n, H, W).
        steps: one a worker; each does the next bit of work and returns its hybrids.
    """

    name: str
    maps: Callable[[int], Maps]
    steps: Sequence[Step]


class Loop:
    """Over batches of pairs and, within them, over channels: what a user writes.

    Args:
        splicer: swaps a channel.
        channels: how many there are.
        pairs: how many there are.
        batch: pairs at once, a divisor of all pairs or more.
    """

    def __init__(self, splicer: Splicer, channels: int, pairs: int, batch: int) -> None:
        self._splicer = splicer
        self._channels = channels
        self._pairs = pairs
        self._batch = min(batch, pairs)
        self._stream = self._endless()

    def maps(self, channels: int) -> Maps:
        """Mean over all pairs of the first channels, (n, H, W)."""
        sums = [np.zeros(())] * channels
        for channel, effect in self._once(channels):
            sums[channel] = sums[channel] + effect
        return np.stack(sums) / self._pairs

    def step(self) -> int:
        """One channel of one batch, after the one before."""
        next(self._stream)
        return self._batch

    def _once(self, channels: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for start in range(0, self._pairs, self._batch):
            self._splicer.begin(slice(start, start + self._batch))
            for channel in range(channels):
                yield channel, self._splicer.effect(channel)

    def _endless(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        while True:
            yield from self._once(self._channels)


def rate(way: Way, executor: ThreadPoolExecutor, seconds: float) -> float:
    """Hybrids a second over at least this time, of all workers together."""
    if len(way.steps) == 1:
        return timed(way.steps[0], seconds)
    return math.fsum(executor.map(lambda step: timed(step, seconds), way.steps))


def fastest(ways: Sequence[Way], executor: ThreadPoolExecutor, seconds: float) -> Way:
    """The fastest of some variants, by one short turn each after a first step."""
    for way in ways:
        rate(way, executor, 0.0)
    return max(ways, key=lambda way: rate(way, executor, seconds))


def timed(step: Step, seconds: float) -> float:
    """Hybrids a second of one worker over at least this time and one step."""
    started, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds or not done:
        done += step()
    return done / elapsed
