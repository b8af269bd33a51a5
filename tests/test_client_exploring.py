"""Explorations by both clients, of a real server: hybridize's images, and the latest wins."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from graftscope.client import (
    AsyncClient,
    Blend,
    Client,
    Edit,
    Explored,
    ExploreTask,
    Intervention,
    LatentPairs,
)
from graftscope.client.errors import InputError, NotFoundError, UnavailableError, UsageError
from server_toys import Stubs

MODEL, LAYER = "toy-vae", "deconv1"
AT_ONCE = 12


def blended(weight: float) -> Intervention:
    return Intervention([Edit(LAYER, [0, 2], action=Blend(weight))])


@pytest.fixture(scope="module")
def client(toy_server: Stubs) -> Any:
    with Client(toy_server.address) as made:
        yield made


def test_each_image_is_that_of_hybridize(client: Client) -> None:
    with client.explore(MODEL, pairs=2, seed=4) as session:
        for weight in (0.0, 0.3, 1.0):
            shown = session.show(blended(weight))
            alone = client.hybridize(MODEL, intervention=blended(weight), pairs=2, seed=4)
            assert shown is not None
            np.testing.assert_array_equal(shown.hybrid, alone.hybrid)
            assert shown.dropped == 0
        originals = session.originals
        for name in ("original1", "original2"):
            made, expected = getattr(originals, name), getattr(alone, name)
            np.testing.assert_allclose(made, expected, atol=1e-6)
        assert originals.execution == alone.execution


def test_images_come_as_levels_and_as_files(client: Client) -> None:
    files = client.hybridize(MODEL, intervention=blended(0.5), pairs=1, encoding="png")
    with client.explore(MODEL, encoding="png") as session:
        shown = session.show(blended(0.5))
        assert shown is not None
        assert shown.hybrid is not None
        assert shown.hybrid.tolist() == files.hybrid
    with client.explore(MODEL, eight_bits=True) as session:
        levels = session.originals.original1
        assert levels is not None
        assert levels.dtype == np.uint8
        assert levels.shape == (1, 16, 16, 3)


def test_other_originals_can_follow(client: Client) -> None:
    latents = {"z": np.zeros((1, 8), np.float32)}, {"z": np.ones((1, 8), np.float32)}
    given = LatentPairs(*latents)
    with client.explore(MODEL) as session:
        before = session.originals
        assert session.begin(ExploreTask(MODEL, originals=given)) is session.originals
        assert session.originals is not before
        shown = session.show(blended(0.5))
        alone = client.hybridize(MODEL, intervention=blended(0.5), originals=given)
        assert shown is not None
        np.testing.assert_array_equal(shown.hybrid, alone.hybrid)


def check(shown: list[Explored | None]) -> None:
    """Every request was answered or dropped, and the last one was answered."""
    answered = [each for each in shown if each is not None]
    assert max(each.number for each in answered) == 1 + AT_ONCE
    assert sum(1 + each.dropped for each in answered) <= AT_ONCE


def test_of_several_threads_the_latest_wins(client: Client) -> None:
    with client.explore(MODEL) as session, ThreadPoolExecutor(AT_ONCE) as threads:
        weights = np.linspace(0, 1, AT_ONCE)
        check(list(threads.map(lambda weight: session.show(blended(weight)), weights)))


async def test_of_several_tasks_the_latest_wins(toy_server: Stubs) -> None:
    async with (
        AsyncClient(toy_server.address) as client,
        client.explore(MODEL, seed=4) as session,
    ):
        several = (session.show(blended(x)) for x in np.linspace(0, 1, AT_ONCE))
        shown = await asyncio.gather(*several)
        check(shown)
        last = shown[-1]
        assert last is not None
        alone = await client.hybridize(MODEL, intervention=blended(1.0), pairs=1, seed=4)
        np.testing.assert_array_equal(last.hybrid, alone.hybrid)
        begun = await session.begin(ExploreTask(MODEL, seed=5))
        assert begun is session.originals


def test_what_the_server_refuses_ends_the_exploration(client: Client) -> None:
    with client.explore(MODEL) as session:
        with pytest.raises(InputError, match="channel"):
            session.show(Intervention([Edit(LAYER, [99])]))
        with pytest.raises((InputError, UnavailableError)):
            session.show(blended(0.5))
    with pytest.raises(NotFoundError, match="nobody"), client.explore("nobody"):
        pass
    with pytest.raises(InputError, match="at most 16"), client.explore(MODEL, pairs=17):
        pass


async def test_an_asynchronous_exploration_is_refused_in_the_same_words(toy_server: Stubs) -> None:
    async with AsyncClient(toy_server.address) as client, client.explore(MODEL) as session:
        with pytest.raises(InputError, match="channel"):
            await session.show(Intervention([Edit(LAYER, [99])]))
        with pytest.raises((InputError, UnavailableError)):
            await session.show(blended(0.5))


def test_an_exploration_is_used_in_a_with_block(client: Client) -> None:
    session = client.explore(MODEL)
    with pytest.raises(UsageError, match="not open"):
        session.show(blended(0.5))
    with pytest.raises(UsageError, match="not open"):
        _ = session.originals
