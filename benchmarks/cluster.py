"""A cluster of Ray against threads of one process, and how many cores one server can keep busy.

    python -m benchmarks.cluster [--rounds 5] [--shards 24] [--skip-large]

Needs the extra `ray`. Two nodes of one core each and a head without any are started on this
machine; the same shards are computed by two threads and by the two nodes, in turns. What a server
does for a shard (asking, fetching, adding up) is measured as processor time of its own process.
"""

import argparse
import asyncio
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import cast

import numpy as np
import onnxruntime as ort

from benchmarks.machine import this_machine
from benchmarks.memory import LATENT, write_generator
from benchmarks.progress import say
from graftscope.bundle import find_shipped
from graftscope.server.analysis import MapMoments
from graftscope.server.engine import (
    SHARD_PAIRS,
    Cancellation,
    Catalogue,
    ChannelSets,
    Device,
    Generator,
    PriorPairs,
    SessionPool,
    ShardEffects,
    Trial,
    choose,
    open_bundles,
)
from graftscope.server.executors import Executor, LocalExecutor
from graftscope.server.jobs import InfluenceSpec, OriginalsSpec
from graftscope.server.jobs._influence import InfluenceWork, _add, run_shards
from graftscope.server.workers import Workers

CORES = 2
FACES = ("vae-celeba", "intermediate")
LARGE_MAPS = (512, 128, 128)
"""Channels, height and width of the maps of a generator of 1024 x 1024."""

WIRE_BYTES_S = 1.25e9
"""Of a network of 10 Gbit/s."""


@dataclass(frozen=True)
class Shard:
    """What one shard costs.

    Attributes:
        computed_s: on one core of a node.
        driver_s: of the server's process: asking, fetching and adding up.
        bytes: of its sums.
    """

    computed_s: float
    driver_s: float
    bytes: int

    @property
    def cores_by_driver(self) -> float:
        """How many cores keep one server's process busy."""
        return self.computed_s / self.driver_s

    @property
    def cores_by_wire(self) -> float:
        """How many fill a network of `WIRE_BYTES_S` into the server."""
        return self.computed_s / (self.bytes / WIRE_BYTES_S)


@contextmanager
def two_nodes() -> Iterator[Executor]:
    """Two nodes of one core each."""
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32)
    )
    import ray
    from ray.cluster_utils import Cluster

    from graftscope.server.executors.cluster._actors import actors_on

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 10**9}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(CORES):
            cluster.add_node(num_cpus=1, object_store_memory=10**9)
        ray.init(address=cluster.address, log_to_driver=False)
        executor = actors_on(ray.nodes(), Device.CPU, 24, 120.0)
        yield executor
        executor.close()
    finally:
        ray.shutdown()
        cluster.shutdown()


def work_of(generator: Generator, layer_name: str, shards: int) -> InfluenceWork:
    """Every channel of a layer, by the plan that a job would get."""
    layer = generator.layer(layer_name)
    sets = np.eye(layer.channels, dtype=np.bool_)
    subject = ChannelSets(generator, layer, sets, generator.areas(0))
    spec = InfluenceSpec(
        model=generator.manifest.digest,
        layer=layer.name,
        channels=layer.channels,
        sets=tuple((c,) for c in range(layer.channels)),
        indices=tuple(range(layer.channels)),
        subject="channels",
        originals=OriginalsSpec("prior", {}),
        seed=0,
        first=0,
        pairs=shards * SHARD_PAIRS,
        map_size=0,
        arithmetic=1,
    )
    source, none = PriorPairs(generator, 0), Cancellation()
    trial = Trial(subject, source, range(spec.pairs), none)
    plan = choose(trial, subject.candidates(generator.backends("fp32")))
    return InfluenceWork(spec, subject, source, plan, none)


def run(work: InfluenceWork, executor: Executor) -> tuple[float, float, bytes]:
    """Seconds, processor seconds of this process, and the maps."""

    async def nothing(_: object) -> None:
        pass

    async def all_shards() -> bytes:
        with ThreadPoolExecutor(executor.workers) as threads:
            sums = await run_shards(
                work,
                None,
                threads=threads,
                executor=executor,
                on_sums=nothing,
                look=None,  # type: ignore[arg-type] # no rule looks
            )
        return sums.moments.mean.tobytes()

    started, used = time.perf_counter(), time.process_time()
    maps = asyncio.run(all_shards())
    return time.perf_counter() - started, time.process_time() - used, maps


def faces(executor: Executor, shards: int, rounds: int) -> dict[str, object]:
    """Threads and nodes in turns."""
    bundle, layer = find_shipped(FACES[0]), FACES[1]
    catalogue = Catalogue(open_bundles([bundle]), SessionPool(Device.CPU, 24, CORES))
    (generator,) = catalogue.generators.values()
    work, here = work_of(generator, layer, shards), LocalExecutor(CORES, Workers(CORES))
    ratios, computed, driver, seconds = [], [], [], []
    known = run(work, here)[2]
    assert run(work, executor)[2] == known, "the bits differ"
    for turn in range(rounds):
        # Whoever computes beside grows and shrinks: each goes first as often.
        order = (here, executor) if turn % 2 else (executor, here)
        took = {each: run(work, each) for each in order}
        assert took[here][2] == took[executor][2], "the bits differ"
        ratios.append(took[here][0] / took[executor][0])
        computed.append(took[here][1] / shards)
        driver.append(took[executor][1] / shards)
        seconds.append((took[here][0], took[executor][0]))
        say(f"threads {seconds[-1][0]:.2f} s, nodes {seconds[-1][1]:.2f} s")
    sets, _, _ = shape = (len(work.subject), *generator.map_shape(0))
    shard = Shard(median(computed), median(driver), _bytes(shape))
    return {
        "plan": [*work.plan.rewrites],
        "channels": sets,
        "rounds_s": seconds,
        "efficiency": ratios,
        "median_efficiency": median(ratios),
        **_told(shard),
    }


def large() -> dict[str, object]:
    """A generator of 1024 x 1024: seconds of a hybrid, and what its sums cost to take in.

    A hybrid at a deep layer takes what an image takes, since nearly all of the graph follows.
    """
    import ray

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "large.onnx"
        write_generator(model)
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    latents = {"z": np.zeros((1, LATENT), dtype=np.float32)}
    images = []
    for _ in range(4):
        used = time.process_time()
        session.run(None, latents)
        images.append(time.process_time() - used)
    computed_s = SHARD_PAIRS * LARGE_MAPS[0] * median(images[1:])
    made, driver, sums = ray.remote(num_cpus=0)(_made), [], None
    spec = cast(InfluenceSpec, SimpleNamespace(originals=OriginalsSpec("prior", {})))
    for _ in range(6):
        held = made.remote(LARGE_MAPS)
        ray.wait([held], fetch_local=False)
        used = time.process_time()
        sums = _add(sums, ray.get(held), None, spec)
        driver.append(time.process_time() - used)
    return {
        "image_s": median(images[1:]),
        **_told(Shard(computed_s, median(driver[1:]), _bytes(LARGE_MAPS))),
    }


def _made(shape: tuple[int, int, int]) -> ShardEffects:
    """A shard's sums of this size."""
    random = np.random.default_rng(0)
    counts = np.full(shape[0], SHARD_PAIRS)
    moments = MapMoments(counts, random.random(shape), random.random(shape))
    return ShardEffects(moments, random.random((SHARD_PAIRS, shape[0])))


def _bytes(shape: tuple[int, int, int]) -> int:
    sets, height, width = shape
    return 8 * sets * (2 * height * width + SHARD_PAIRS + 1)


def _told(shard: Shard) -> dict[str, object]:
    return {
        "computed_s": shard.computed_s,
        "driver_s": shard.driver_s,
        "mbytes": shard.bytes / 1e6,
        "cores_by_driver": round(shard.cores_by_driver),
        "cores_by_wire": round(shard.cores_by_wire),
    }


def main() -> None:
    """Measures, and prints a JSON document after each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shards", type=int, default=24)
    parser.add_argument("--skip-large", action="store_true")
    given = parser.parse_args()
    found: dict[str, object] = {"machine": vars(this_machine())}
    parts: dict[str, Callable[[Executor], object]] = {
        "faces": lambda executor: faces(executor, given.shards, given.rounds),
        "large": lambda _: large(),
    }
    with two_nodes() as executor:
        for name, part in parts.items():
            if name == "faces" or not given.skip_large:
                found[name] = part(executor)
                print(json.dumps(found, indent=2, default=str), flush=True)


if __name__ == "__main__":
    main()
