"""Facts about waiting for jobs: in a notebook's event loop, and where somebody interrupts it."""

import asyncio
import math
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graftscope.client import AsyncClient, Client, JobState, Progress

LAYER = "intermediate"


@pytest.fixture(scope="module")
def client(toy_vae_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    state = tmp_path_factory.mktemp("state")
    with Client(bundles=[toy_vae_bundle], state=state) as client:
        yield client


async def test_the_synchronous_client_works_where_an_event_loop_runs(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    assert asyncio.get_running_loop().is_running()  # as in a notebook's cell
    with Client(bundles=[toy_vae_bundle], state=tmp_path) as client:
        maps = client.influence("toy-vae", LAYER, pairs=32)
        assert client.modules(maps, k=2).k == 2
        with client.explore("toy-vae") as session:
            assert session.originals.original1 is not None
        async with AsyncClient(client.address) as other:  # and so does the asynchronous one
            awaited = await other.influence("toy-vae", LAYER, pairs=32)
    np.testing.assert_array_equal(awaited.maps, maps.maps)


def test_images_know_their_range_and_results_how_long_they_took(client: Client) -> None:
    known = client.model("toy-vae").image.range
    samples = client.generate("toy-vae", count=2)
    hybrids = client.hybridize("toy-vae", LAYER, [0], pairs=2)
    assert samples.image_range == hybrids.image_range == known
    maps = client.influence("toy-vae", LAYER, pairs=32)
    job = client.job(maps.operation)
    assert job.created
    assert job.ended
    assert maps.took_s == (job.ended - job.created).total_seconds()
    assert math.isfinite(client.modules(maps, k=2).took_s)


def test_an_interrupted_wait_says_that_the_job_goes_on_and_leaves_the_client_usable(
    client: Client,
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.shards_done and not interrupting.is_alive() and not interrupting.ident:
            interrupting.start()

    # From another thread, so that the signal comes while the client waits for the server.
    interrupting = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as caught:
        client.influence("toy-vae", LAYER, pairs=200_000, on_progress=interrupt)
    (note,) = caught.value.__notes__
    (job,) = client.jobs(states=[JobState.RUNNING])
    short = job.name.removeprefix("operations/")[:12]
    assert "the job goes on" in note
    assert f'client.wait("{short}")' in note
    assert client.partial(short).pairs >= 32
    client.cancel(short)
    assert list(client.watch(short))[-1].progress.state is JobState.CANCELLED
    assert client.influence("toy-vae", LAYER, pairs=32).pairs == 32


async def test_a_cancelled_await_says_so_too(client: Client) -> None:
    begun = asyncio.Event()

    def note(progress: Progress) -> None:
        if progress.shards_done:
            begun.set()

    async with AsyncClient(client.address) as other:
        waiting = asyncio.ensure_future(
            other.influence("toy-vae", "coarse", pairs=200_000, on_progress=note)
        )
        await begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
        assert "the job goes on" in caught.value.__notes__[0]
        (job,) = await other.jobs(states=[JobState.RUNNING])
        await other.cancel(job.name)
