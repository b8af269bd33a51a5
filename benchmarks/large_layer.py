"""One layer of a generator of large images by one way, in a process whose memory is its own.

    python -m benchmarks.large_layer BUNDLE LAYER WAY WORKERS

WAY is plain or chosen (this engine), or a generator's name (PyTorch with hooks). One pair, every
channel. What it prints is JSON: seconds and processor seconds a hybrid, MB at its peak and above
what it was when the generator was there, and every channel's influence.
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftscope.bundle import read_bundle
from graftscope.server.engine import (
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
from graftscope.v1 import bundle_pb2

if TYPE_CHECKING:
    import torch

PLAIN, CHOSEN = "plain", "chosen"

# What a job has unless it is told otherwise; which plan is measured depends on it.
_JOB_PAIRS = 1_000
_SESSIONS = 16

Influences = NDArray[np.float64]


def main() -> None:
    """Parses the command line and measures."""
    bundle, name, way, workers = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    generator = Generator(read_bundle(bundle), SessionPool(Device.CPU, _SESSIONS, workers))
    layer = next(x for x in generator.manifest.layers if x.name == name)
    note, warm_up, work = (
        _engine(generator, layer, way, workers)
        if way in (PLAIN, CHOSEN)
        else _torch(generator, layer, way, workers)
    )
    before = _status_mb("VmRSS")
    warm_up()
    started, started_s = time.perf_counter(), time.process_time()
    influences = work()
    seconds, processor_s = time.perf_counter() - started, time.process_time() - started_s
    peak = _status_mb("VmHWM")
    found = {
        "note": note,
        "seconds": seconds / layer.channels,
        "processor_s": processor_s / layer.channels,
        "peak_mb": peak,
        "more_mb": peak - before,
        "influences": influences.tolist(),
    }
    print(json.dumps(found))


def _engine(
    generator: Generator, layer: bundle_pb2.Layer, way: str, workers: int
) -> tuple[str, Callable[[], object], Callable[[], Influences]]:
    """On the plain path, or by the plan that a job would get; channels divided among workers."""
    every = np.eye(layer.channels, dtype=np.bool_)
    subject = ChannelSets(generator, layer, every, generator.areas(0))
    source, plan = PriorPairs(generator, 0), subject.plan()
    if way == CHOSEN:
        trial = Trial(subject, source, range(_JOB_PAIRS), Cancellation())
        plan = choose(trial, subject.candidates(generator.backends("fp32")))

    def some(rows: NDArray[np.int64]) -> Influences:
        effects = shard_effects(subject.only(rows), plan, source, range(1), Cancellation())
        influences: Influences = effects.moments.mean.mean(axis=(1, 2))
        return influences

    def work() -> Influences:
        with ThreadPoolExecutor(workers) as executor:
            parts = np.array_split(np.arange(layer.channels), workers)
            return np.concatenate(list(executor.map(some, parts)))

    return _words(plan), lambda: some(np.arange(1)), work


def _words(plan: Plan) -> str:
    rewrites = " + ".join(plan.rewrites) or "plain"
    return f"{plan.batch} pair x {plan.sets} set, {rewrites}"


def _torch(
    generator: Generator, layer: bundle_pb2.Layer, name: str, workers: int
) -> tuple[str, Callable[[], object], Callable[[], Influences]]:
    """Hooks on the whole network, all cores in an operation, in the faster of two layouts."""
    # Imported here, so that the memory of this engine's ways is measured without PyTorch.
    import torch

    from benchmarks.large_models import MAKERS

    torch.set_num_threads(workers)
    first, second = (torch.from_numpy(x["z"]) for x in PriorPairs(generator, 0).latents(range(1)))
    loops = {
        # torch's own annotations leave this argument out.
        layout: _Loop(MAKERS[name]().to(memory_format=layout), layer.name)  # type: ignore[call-overload]
        for layout in (torch.contiguous_format, torch.channels_last)
    }

    def once(loop: "_Loop", channels: int) -> Influences:
        with torch.inference_mode():
            return loop.influences(first, second, channels)

    def timed(loop: "_Loop") -> float:
        once(loop, 1)
        started = time.perf_counter()
        once(loop, 2)
        return time.perf_counter() - started

    layout = min(loops, key=lambda x: timed(loops[x]))
    loop = loops.pop(layout)
    loops.clear()

    layout_name = str(layout).removeprefix("torch.")
    return layout_name, lambda: once(loop, 1), lambda: once(loop, layer.channels)


class _Loop:
    """The loop that a user of PyTorch writes, a pair at a time."""

    def __init__(self, network: "torch.nn.Module", name: str) -> None:
        self._network, self._module = network, network.get_submodule(name)

    def influences(
        self, first: "torch.Tensor", second: "torch.Tensor", channels: int
    ) -> Influences:
        """(n,) of the first channels: |hybrid - original 1|, averaged over colours and pixels."""
        kept: list[torch.Tensor] = []
        with self._module.register_forward_hook(lambda _, __, output: kept.append(output)):
            self._network(second)
        donor, image1 = kept[0], self._network(first)
        found = []
        for channel in range(channels):

            def swap(
                _: object, __: object, output: "torch.Tensor", at: int = channel
            ) -> "torch.Tensor":
                spliced = output.clone()
                spliced[:, at] = donor[:, at]
                return spliced

            with self._module.register_forward_hook(swap):
                hybrid = self._network(first)
            found.append(float((hybrid - image1).abs().mean()))
        return np.array(found)


def _status_mb(field: str) -> float:
    """Of this process alone: getrusage remembers the one that started it."""
    with open("/proc/self/status") as status:
        kib = next(int(line.split()[1]) for line in status if line.startswith(field))
    return kib * 1024 / 1e6


if __name__ == "__main__":
    main()
