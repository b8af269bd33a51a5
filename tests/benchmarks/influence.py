"""Hybrids a second: elementary influence of a whole layer, three ways in one run.

    python tests/benchmarks/influence.py [--layer intermediate] [--rounds 5] [--json]

(a) a plain PyTorch loop with forward hooks, at its best batch size and memory layout,
(b) the bundle's ONNX halves with a splice in numpy, at its best batch size,
(c) this engine: splice and reduction inside the graph, single-threaded runs side by side.

The three take turns, so that a noisy machine is noisy for all; what counts is the ratios. Before
anything is timed, their influence maps are compared. Weights are random: they cost the same.
"""

import argparse
import copy
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from graftscope.bundle import read_bundle
from graftscope.exporter import export_module
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    GivenPairs,
    Plan,
    SessionPool,
    choose_plan,
    shard_effects,
)
from graftscope.training.architecture import VAE_CELEBA
from graftscope.training.networks import Generator as TorchGenerator
from graftscope.v1 import bundle_pb2

PAIRS = 32
BATCHES = (8, 16, 32)
ROUND_S = 1.5
# Different kernels sum in different orders.
TOLERANCE = 1e-5

Maps = NDArray[np.float64]
Way = Callable[[], Maps]


@dataclass(frozen=True)
class Setting:
    """What all ways compute: every channel's influence over the same pairs."""

    torch_generator: TorchGenerator
    generator: Generator
    layer: bundle_pb2.Layer
    folder: Path
    z1: NDArray[np.float32]
    z2: NDArray[np.float32]


def processor() -> str:
    """The processor's name, and what of it matters here."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
    flags = next((x.split(":")[1].split() for x in lines if x.startswith("flags")), [])
    known = [x for x in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if x in flags]
    cores = len(os.sched_getaffinity(0))
    return f"{name or platform.processor()}, {cores} cores, {' '.join(known)}"


def torch_hooks(setting: Setting, batch: int, *, channels_last: bool) -> Way:
    """A loop over batches and channels; one hook records, another one swaps."""
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    # A copy: `to` changes a module in place, and the layouts are timed against each other.
    network = copy.deepcopy(setting.torch_generator)
    network = network.to(memory_format=memory_format)  # type: ignore[call-overload]
    module = network.get_submodule(setting.layer.name)

    def record(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept: list[torch.Tensor] = []
        with module.register_forward_hook(lambda *call: kept.append(call[2])):
            image = network(z)
        return kept[0], image

    def hybrid(z1: torch.Tensor, activation2: torch.Tensor, channel: int) -> torch.Tensor:
        def swap(_: object, __: object, output: torch.Tensor) -> torch.Tensor:
            spliced = output.clone()
            spliced[:, channel] = activation2[:, channel]
            return spliced

        with module.register_forward_hook(swap):
            image: torch.Tensor = network(z1)
        return image

    @torch.inference_mode()
    def run() -> Maps:
        total = torch.zeros(setting.layer.channels, *setting.generator.image_shape[1:])
        for i in range(0, PAIRS, batch):
            z1, z2 = (torch.from_numpy(z[i : i + batch]) for z in (setting.z1, setting.z2))
            activation2, _ = record(z2)
            _, image1 = record(z1)
            for channel in range(setting.layer.channels):
                effect = (hybrid(z1, activation2, channel) - image1).abs()
                total[channel] += effect.mean(dim=1).sum(dim=0)
        return total.double().numpy() / PAIRS

    return run


def numpy_splice(setting: Setting, batch: int) -> Way:
    """The two halves as they lie in the bundle, ONNX Runtime's default options."""
    layer = setting.layer
    options = ort.SessionOptions()
    options.log_severity_level = 4
    upstream, downstream = (
        ort.InferenceSession(setting.folder / name, options, providers=["CPUExecutionProvider"])
        for name in (layer.upstream, layer.downstream)
    )

    def run() -> Maps:
        total = np.zeros((layer.channels, *setting.generator.image_shape[1:]))
        for i in range(0, PAIRS, batch):
            first, second = (
                upstream.run([layer.tensor], {"z": z[i : i + batch]})[0]
                for z in (setting.z1, setting.z2)
            )
            image1 = downstream.run(None, {layer.tensor: first})[0]
            for channel in range(layer.channels):
                spliced = first.copy()
                spliced[:, channel] = second[:, channel]
                hybrid = downstream.run(None, {layer.tensor: spliced})[0]
                total[channel] += np.abs(hybrid - image1).mean(axis=1).sum(axis=0)
        return total / PAIRS

    return run


def engine(setting: Setting, plan: Plan, executor: ThreadPoolExecutor, workers: int) -> Way:
    """This engine, a shard a worker, as a job runs it."""
    sets = np.eye(setting.layer.channels, dtype=np.bool_)
    generator = setting.generator
    subject = ChannelSets(generator, setting.layer, sets, generator.areas(0))
    source = GivenPairs({"z": setting.z1}, {"z": setting.z2})

    def shard() -> Maps:
        effects = shard_effects(subject, plan, source, range(PAIRS), Cancellation())
        return effects.moments.mean

    def run() -> Maps:
        shards = [executor.submit(shard) for _ in range(workers)]
        maps = [future.result() for future in shards]
        return maps[0]

    return run


def rate(way: Way, hybrids: int) -> float:
    """Hybrids a second over at least one round."""
    started, runs = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < ROUND_S or not runs:
        way()
        runs += 1
    return runs * hybrids / elapsed


def best(ways: dict[str, Way], hybrids: int) -> tuple[str, Way]:
    """The fastest of some variants, by one round each after a first run."""
    for way in ways.values():
        way()
    name = max(ways, key=lambda key: rate(ways[key], hybrids))
    return name, ways[name]


def make_setting(folder: Path, layer: str) -> Setting:
    """A Table-1 VAE with random weights, as a module and as a bundle."""
    torch.manual_seed(0)
    network = TorchGenerator(VAE_CELEBA).eval()
    z1, z2 = (torch.randn(PAIRS, VAE_CELEBA.latent_size) for _ in range(2))
    export_module(network, {"z": z1[:2]}, folder, levels=_levels())
    generator = Generator(read_bundle(folder), SessionPool(Device.CPU, 8))
    return Setting(network, generator, generator.layer(layer), folder, z1.numpy(), z2.numpy())


def _levels() -> dict[str, str]:
    return {layer.name: layer.level for layer in VAE_CELEBA.layers if layer.level}


def measure(layer: str, rounds: int, workers: int) -> dict[str, object]:
    """Chooses the best variant of each way, checks that they agree, and times them in turns."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as executor:
        setting = make_setting(Path(folder) / "bundle", layer)
        hybrids = PAIRS * setting.layer.channels
        hooks = {
            f"torch hooks, {layout}, batch {batch}": torch_hooks(
                setting, batch, channels_last=layout == "channels_last"
            )
            for layout in ("contiguous", "channels_last")
            for batch in BATCHES
        }
        halves = {f"halves and numpy, batch {b}": numpy_splice(setting, b) for b in BATCHES}
        plan = choose_plan(setting.generator, setting.layer, setting.layer.channels)
        chosen = [best(hooks, hybrids), best(halves, hybrids)]
        name = f"engine, {plan.batch} pairs x {plan.sets} sets, {workers} workers"
        ways = dict([*chosen, (name, engine(setting, plan, executor, workers))])
        deviation = compare(ways)
        rates: dict[str, list[float]] = {key: [] for key in ways}
        for _ in range(rounds):
            for key, way in ways.items():
                # A call of the engine computes one shard a worker.
                work = hybrids * (workers if key == name else 1)
                rates[key].append(rate(way, work))
    return {
        "processor": processor(),
        "layer": layer,
        "largest_deviation": deviation,
        "ways": {key: summary(values) for key, values in rates.items()},
    }


def compare(ways: dict[str, Way]) -> float:
    """The largest difference between the ways' maps, as a share of the largest influence."""
    maps = [way() for way in ways.values()]
    deviation = max(float(np.abs(x - maps[-1]).max()) for x in maps) / float(maps[-1].max())
    if deviation > TOLERANCE:
        raise SystemExit(f"the ways disagree by {deviation:.2g} of the largest influence")
    return deviation


def summary(values: list[float]) -> dict[str, float]:
    """Median and spread."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def report(result: dict[str, object]) -> None:
    """Prints a table; ratios are of medians, to the way above (b)."""
    ways = result["ways"]
    assert isinstance(ways, dict)
    medians = [way["median"] for way in ways.values()]
    print(f"{result['processor']}\nlayer {result['layer']}, hybrids a second, median (low-high):")
    for (name, way), median in zip(ways.items(), medians, strict=True):
        spread = f"({way['low']:.0f}-{way['high']:.0f})"
        print(f"  {name:55} {median:7.0f} {spread:14} {median / medians[1]:5.2f} x halves")
    print(f"largest deviation between their maps: {result['largest_deviation']:.1e}")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--layer", default="intermediate", help="a layer or a level")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure(arguments.layer, arguments.rounds, arguments.workers)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        report(result)


if __name__ == "__main__":
    main()
