"""Nothing that blocks is on the event loop: every method is called while a probe watches the loop.

What counts is the processor time that the loop's thread takes between two of the probe's turns, and
for how long it stands still outside its wait for something to do: on a busy machine a thread may
wait for the processor, or for the interpreter, whatever it does.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2

from graftscope.server import make_settings
from graftscope.server._server import running_server
from graftscope.v1 import (
    analysis_service_pb2,
    artifact_service_pb2,
    intervention_pb2,
    model_service_pb2,
    originals_pb2,
)
from reliability._processes import told
from server_toys import Stubs

MOST_S = 0.05
LOOK_S = 0.005
SETS = 2_000


class Probe:
    """Watches the loop that it is started in.

    Attributes:
        cpu_s: the most processor time between two of its turns.
        stood: places outside the loop's wait, with how often it stood there for too long.
    """

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.stood: Counter[str] = Counter()
        self._beat = time.perf_counter()

    async def beat(self) -> None:
        """Beats until it is cancelled."""
        while True:
            before = time.thread_time()
            await asyncio.sleep(LOOK_S)
            self.cpu_s = max(self.cpu_s, time.thread_time() - before)
            self._beat = time.perf_counter()

    @contextmanager
    def watching(self, loop_thread: int) -> Iterator[None]:
        """Looks at the loop from another thread."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(LOOK_S):
                if time.perf_counter() - self._beat > MOST_S:
                    self._note(loop_thread)

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _note(self, loop_thread: int) -> None:
        frames = traceback.extract_stack(sys._current_frames()[loop_thread])
        if frames[-1].name != "select":
            self.stood[" < ".join(f"{x.name}:{x.lineno}" for x in reversed(frames[-4:]))] += 1


def every_method(stubs: Stubs) -> None:
    """Calls each method, those first that are slow for the first time."""
    model = stubs.models.ListModels(model_service_pb2.ListModelsRequest()).models[0]
    stubs.models.GetModel(model_service_pb2.GetModelRequest(name=model.name))
    pairs = originals_pb2.Pairs(seed=1, count=4)
    stubs.models.Generate(model_service_pb2.GenerateRequest(model=model.name, samples=pairs))
    for layer in model.bundle.layers:
        edit = intervention_pb2.Edit(
            layer=layer.name, channels=intervention_pb2.Channels(indices=[0])
        )
        edit.constant.prior_mean.SetInParent()
        intervention = intervention_pb2.Intervention(edits=[edit])
        stubs.models.Hybridize(
            model_service_pb2.HybridizeRequest(
                model=model.name, intervention=intervention, pairs=pairs
            )
        )
    first = model.bundle.layers[1].name
    swap = intervention_pb2.Edit(layer=first, channels=intervention_pb2.Channels(indices=[0]))
    swap.scale.factor = 0.5
    many = [intervention_pb2.Intervention(edits=[swap]) for _ in range(SETS)]
    plain, mixed = (
        analysis_service_pb2.InfluenceRequest(
            model=model.name, layer=first, pairs=originals_pb2.Pairs(seed=1, count=64)
        )
        for _ in range(2)
    )
    mixed.each_intervention.interventions.extend(many)
    done = [stubs.wait(stubs.analyses.Influence(request)) for request in (plain, mixed)]
    stubs.operations.ListOperations(operations_pb2.ListOperationsRequest())
    list(stubs.analyses.WatchOperation(_watch(done[1].name)))
    response = analysis_service_pb2.InfluenceResponse()
    done[0].response.Unpack(response)
    stubs.wait(stubs.analyses.Modules(analysis_service_pb2.ModulesRequest(maps=response.maps, k=2)))
    stubs.wait(
        stubs.analyses.Stability(
            analysis_service_pb2.StabilityRequest(maps=response.maps, ks=[2], repeats=3)
        )
    )
    array = stubs.put(np.random.default_rng(0).random((64, 128, 128)))
    read = artifact_service_pb2.ReadArtifactRequest(sha256=array.artifact.sha256)
    assert sum(len(x.chunk.data) for x in stubs.artifacts.ReadArtifact(read))


def _watch(name: str) -> analysis_service_pb2.WatchOperationRequest:
    return analysis_service_pb2.WatchOperationRequest(name=name, partial_maps=True)


@pytest.mark.soak
async def test_no_method_blocks_the_event_loop(toy_vae_bundle: Path, tmp_path: Path) -> None:
    settings = make_settings(
        bundles=(toy_vae_bundle,), state=tmp_path / "state", listen="127.0.0.1:0", workers=2
    )
    async with running_server(settings) as address:
        probe = Probe()
        beating = asyncio.create_task(probe.beat())
        with probe.watching(threading.get_ident()):
            await asyncio.to_thread(_call_every_method, address, tmp_path)
        beating.cancel()
    told("most processor time that the loop takes at once (ms)", f"{1e3 * probe.cpu_s:.0f}", 50)
    for place, times in probe.stood.most_common(5):
        told(f"looks at which the loop stood still: {place}", times, "-")
    assert probe.cpu_s <= MOST_S


def _call_every_method(address: str, state: Path) -> None:
    with grpc.insecure_channel(address) as channel:
        every_method(Stubs(address, channel, state))
