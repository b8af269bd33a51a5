"""What a client reads to its end counts as answered, and what it leaves as cancelled."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import cast

import pytest

from graftscope.client import AsyncClient, Client, Edit, InfluenceTask, Intervention, Job
from metric_toys import Watched, watched
from request_toys import LAYER, VAE
from waiting_toys import until

SWAP = Intervention([Edit(LAYER, [0, 1])])
SHORT, LONG = (InfluenceTask(VAE, LAYER, pairs=pairs, seed=1) for pairs in (32, 20_000))


@pytest.fixture
def server(toy_vae_bundle: Path, tmp_path: Path) -> Iterator[Watched]:
    with watched(toy_vae_bundle, tmp_path / "state") as made:
        yield made


def check(server: Watched, method: str, **expected: int) -> None:
    def told() -> dict[str, float]:
        found = server.scrape().by("graftscope_requests_total", "method", "status")
        return {status: number for (each, status), number in found.items() if each == method}

    until(lambda: sum(told().values()) == sum(expected.values()))
    assert told() == expected


async def test_a_watch_that_told_the_end_is_answered_and_one_that_is_left_cancelled(
    server: Watched,
) -> None:
    with Client(server.stubs.address) as client:
        short, long = client.start(SHORT), client.start(LONG)
        client.wait(short.name)
        # Who stops reading at the end of the job has read the watch to its end.
        assert next(client.watch(short.name)).done
        async with AsyncClient(server.stubs.address) as concurrent:
            await concurrent.wait(short.name)
        check(server, "AnalysisService/WatchOperation", OK=3)
        watch = cast(Generator[Job], client.watch(long.name))
        assert not next(watch).done
        watch.close()
        check(server, "AnalysisService/WatchOperation", OK=3, CANCELLED=1)
        client.cancel(long.name)


async def test_an_exploration_that_is_closed_is_answered(server: Watched) -> None:
    with Client(server.stubs.address) as client, client.explore(VAE, seed=7) as session:
        assert session.show(SWAP) is not None
    async with (
        AsyncClient(server.stubs.address) as concurrent,
        concurrent.explore(VAE, seed=7) as asked,
    ):
        assert await asked.show(SWAP) is not None
    check(server, "ModelService/Explore", OK=2)
