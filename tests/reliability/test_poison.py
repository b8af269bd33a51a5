"""A job that ends its server's process whenever it runs is given up, and nothing else is."""

from contextlib import suppress
from pathlib import Path

import pytest

from graftscope.client import Client, GraftscopeError, InfluenceTask, JobState
from graftscope.server.failpoints import VARIABLE
from graftscope.server.jobs import MOST_CRASHES
from reliability._processes import server, told

WAIT_S = 60.0
TASK = InfluenceTask(model="toy-vae", layer="intermediate", pairs=4_000, seed=3)
# One shard, of which nothing is kept before its end.
OTHER = InfluenceTask(model="toy-vae", layer="intermediate", pairs=32, seed=4)


@pytest.mark.soak
def test_a_job_that_ends_every_process_it_runs_in_fails_with_a_reason(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    # Before anything of it lasts, so that it gets no further however often it runs.
    deadly = {VARIABLE: "checkpoint-written", "GRAFTSCOPE_CHECKPOINT_S": "0.1"}
    deaths = 0
    for attempt in range(MOST_CRASHES):
        # A server may die before it has said where it listens.
        with (
            suppress(AssertionError),
            server([toy_vae_bundle], state, environment=deadly) as running,
        ):
            if not attempt:
                with suppress(GraftscopeError), Client(running.address) as client:
                    client.start(TASK)
            running.process.wait(WAIT_S)
        deaths += 1
    with server([toy_vae_bundle], state, environment=deadly) as running:
        with Client(running.address) as client:
            (job,) = client.jobs()
            assert job.progress.state is JobState.FAILED
            assert job.attempts == MOST_CRASHES + 1
            assert f"ended {MOST_CRASHES} times while {job.name} ran" in job.error
            assert client.wait(client.start(OTHER).name)
    told("deaths of a server by one job", deaths, MOST_CRASHES)
