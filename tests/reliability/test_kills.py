"""`kill -9` at random moments and at every failpoint: little is lost, no bit and no file."""

import random
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest

from graftscope.client import Client, GraftscopeError, InfluenceResult, InfluenceTask
from graftscope.server.failpoints import FAILPOINTS, VARIABLE
from graftscope.v1 import analysis_service_pb2, analysis_service_pb2_grpc
from reliability._processes import Running, server, told

CHECKPOINT_S = 0.3
SLACK_S = 0.5
"""What a shard takes, the last write, and a message on its way, on a busy machine."""
KILLS = 20
WAIT_S = 60.0
TOLERANCE = 1e-5

LONG_PAIRS = 128_000
SHORT_PAIRS = 4_000


@dataclass
class Progress:
    """How many shards of a job were done when, in seconds of the monotonic clock."""

    seen: list[tuple[float, int]] = field(default_factory=list)

    def first_at(self, shards: int) -> float:
        """When so many shards were first done; now, where that was not seen."""
        return next((moment for moment, done in self.seen if done >= shards), time.monotonic())


@contextmanager
def followed(running: Running, name: str) -> Iterator[Progress]:
    """The progress of a job, until it is done or the server is gone."""
    progress = Progress()
    request = analysis_service_pb2.WatchOperationRequest(name=name)

    def follow() -> None:
        with suppress(grpc.RpcError):
            for told_now in stub.WatchOperation(request):
                progress.seen.append((time.monotonic(), _shards(told_now)))

    with grpc.insecure_channel(running.address) as channel:
        stub = analysis_service_pb2_grpc.AnalysisServiceStub(channel)
        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield progress
        finally:
            thread.join()


def _shards(told_now: analysis_service_pb2.WatchOperationResponse) -> int:
    if told_now.WhichOneof("update") == "progress":
        return told_now.progress.shards_done
    metadata = analysis_service_pb2.AnalysisMetadata()
    told_now.operation.metadata.Unpack(metadata)
    return metadata.progress.shards_done


def task(pairs: int) -> InfluenceTask:
    return InfluenceTask(model="toy-vae", layer="intermediate", pairs=pairs, seed=3)


@contextmanager
def serving(bundle: Path, state: Path, failpoint: str = "") -> Iterator[Running]:
    # So many kills in a row are not what a job does by itself.
    kills = {"GRAFTSCOPE_JOB_CRASHES": "1000"}
    environment = {"GRAFTSCOPE_CHECKPOINT_S": str(CHECKPOINT_S), VARIABLE: failpoint, **kills}
    with server([bundle], state, environment=environment) as running:
        yield running


def begun(bundle: Path, state: Path, pairs: int, failpoint: str) -> None:
    """Leaves a state in which the job has died at a failpoint."""
    with serving(bundle, state, failpoint) as running, Client(running.address) as client:
        # It may die before it has answered, and the client then looks for it once more.
        with suppress(GraftscopeError):
            client.start(task(pairs))
        running.process.wait(WAIT_S)


def ended(bundle: Path, state: Path) -> InfluenceResult:
    """The result of the one job, once a server has gone on with it."""
    with serving(bundle, state) as running, Client(running.address) as client:
        result = client.wait(client.jobs()[0].name)
        assert isinstance(result, InfluenceResult)
        return result


def taken_up_at(running: Running) -> int:
    """How many shards the job had when the server took it up, which it says at its start."""
    return int(re.findall(r"'job taken up' .*shards_done=(\d+)", running.log.read_text())[-1])


def assert_same_bits(one: InfluenceResult, other: InfluenceResult) -> None:
    for name in ("maps", "stderr", "individual", "individual_stderr"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def assert_no_orphans(state: Path) -> None:
    """Every file is named by the one job that there is."""
    with closing(sqlite3.connect(state / "jobs.db")) as database:
        ((body,),) = database.execute("select body from jobs").fetchall()
    folders = (state / "checkpoints", state / "artifacts")
    files = [path.name for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert [name for name in files if name not in body] == []


def test_a_job_whose_server_is_killed_goes_on(toy_vae_bundle: Path, tmp_path: Path) -> None:
    begun(toy_vae_bundle, tmp_path / "state", SHORT_PAIRS, "checkpoint-named")
    assert ended(toy_vae_bundle, tmp_path / "state").pairs == SHORT_PAIRS


@pytest.mark.soak
def test_a_job_that_is_killed_at_every_failpoint_loses_no_bit_and_no_file(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    results = {}
    for name in FAILPOINTS:
        state = tmp_path / name
        begun(toy_vae_bundle, state, SHORT_PAIRS, name)
        results[name] = ended(toy_vae_bundle, state)
        with serving(toy_vae_bundle, state):
            assert_no_orphans(state)
    for result in results.values():
        # Jobs of different states may have different plans, so their last bits may differ.
        first = results[FAILPOINTS[0]]
        np.testing.assert_allclose(result.maps, first.maps, rtol=0, atol=TOLERANCE)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_job_that_is_killed_at_random_moments_loses_a_checkpoint_at_most(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    state, whole = tmp_path / "killed", tmp_path / "whole"
    begun(toy_vae_bundle, state, LONG_PAIRS, "checkpoint-written")
    shutil.copytree(state, whole)
    expected = ended(toy_vae_bundle, whole)
    draws = random.Random(0)
    lost_s, killed_at_s, progress = [], 0.0, Progress()
    for _ in range(KILLS):
        with serving(toy_vae_bundle, state) as running:
            with Client(running.address) as client:
                job = client.jobs()[0]
            assert not job.done, "the job is too short for so many kills"
            with followed(running, job.name) as now:
                if progress.seen:
                    lost_s.append(killed_at_s - progress.first_at(taken_up_at(running) + 1))
                time.sleep(draws.uniform(0.0, 1.0))
                running.kill()
                killed_at_s, progress = time.monotonic(), now
    result = ended(toy_vae_bundle, state)
    told("work lost at the worst of 20 kills, s", f"{max(lost_s):.2f}", CHECKPOINT_S + SLACK_S)
    assert max(lost_s) <= CHECKPOINT_S + SLACK_S
    assert_same_bits(result, expected)
    with serving(toy_vae_bundle, state):
        assert_no_orphans(state)
