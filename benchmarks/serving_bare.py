"""The engine without a server: what replies cost by themselves."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from benchmarks.serving_load import CHANNELS
from graftscope.graph import HYBRIDS, ORIGINAL1, ORIGINAL2, SETS, splice
from graftscope.server.engine import (
    ORIGINAL2 as FROM_ORIGINAL2,
)
from graftscope.server.engine import Cancellation, Edit, Exploration, Generator, PriorPairs
from graftscope.v1 import bundle_pb2

BATCHES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Bare:
    """The engine without a server: what the replies cost by themselves."""

    generator: Generator
    layer: bundle_pb2.Layer

    def runs(self, pairs: range) -> Callable[[], object]:
        """Both upstream runs, and one spliced run that gives both originals and the hybrid."""
        latents1, latents2 = PriorPairs(self.generator, 0).latents(pairs)
        sets = np.zeros((3, self.layer.channels), dtype=np.bool_)
        sets[1], sets[2, :CHANNELS] = True, True
        session = self.generator.session(f"{self.layer.name}/hybrids", self._spliced)

        def run() -> NDArray[np.float32]:
            first = self.generator.record(self.layer, latents1)
            second = self.generator.record(self.layer, latents2)
            feeds = {
                ORIGINAL1: first.activation,
                ORIGINAL2: second.activation,
                SETS: sets,
                **first.carried,
            }
            hybrids: NDArray[np.float32] = session.run(feeds)[HYBRIDS].numpy()
            return hybrids

        run()
        return run

    def dragged(self) -> Callable[[], object]:
        """What one image of an exploration takes: a run of what lies below the layer."""
        source = PriorPairs(self.generator, 0)
        exploration = Exploration(self.generator, lambda: source.latents(range(1)), 1)
        edit = Edit(self.layer.name, tuple(range(CHANNELS)), "swap", donor=FROM_ORIGINAL2)
        cancellation = Cancellation()
        return lambda: exploration.made((edit,), cancellation, originals=False)

    def _spliced(self) -> ir.Model:
        downstream = ir.load(self.generator.folder.path / self.layer.downstream)
        return splice(downstream, activation=self.layer.tensor, channel_axis=1)

    def rate(self, batch: int, threads: int, seconds: float) -> tuple[float, float]:
        """Pairs a second of threads that do nothing else, and a pair's processor time (s)."""
        runs = [self.runs(range(i * batch, (i + 1) * batch)) for i in range(threads)]
        until = time.perf_counter() + seconds

        def loop(run: Callable[[], object]) -> int:
            done = 0
            while time.perf_counter() < until:
                run()
                done += batch
            return done

        started, before = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(threads) as executor:
            done = sum(executor.map(loop, runs))
        return done / (time.perf_counter() - started), (time.process_time() - before) / done


def times_of(work: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of some work, done again and again for so long."""
    until, times = time.perf_counter() + seconds, []
    while time.perf_counter() < until:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return times
