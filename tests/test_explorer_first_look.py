"""A first look at the modules of a layer: of few pairs, before the search, where that helps."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from access_toys import protected
from graftscope.client import AsyncClient, JobKind, JobState
from graftscope.explorer._first_look import FEW, WORTH
from graftscope.explorer._modules import FindModules, SearchedLayers, Stop
from graftscope.explorer._told import Answer

MODEL, LAYER = "toy-blocks", "fc"
PAIRS = 128


@pytest.fixture(scope="module")
def server(block_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One that nobody has asked anything of."""
    with protected([block_bundle], tmp_path_factory.mktemp("state"), auth="none") as address:
        yield address


@pytest.fixture
async def client(server: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server) as connected:
        yield connected


async def _found(client: AsyncClient, pairs: int = PAIRS) -> list[Answer]:
    return [each async for each in SearchedLayers(client).find(FindModules(MODEL, LAYER, 2, pairs))]


def _job(answer: Answer) -> Any:
    return answer.fields["job"]


def _of_pairs(answers: list[Answer]) -> list[int]:
    """The pairs that modules were found in, answer by answer."""
    told: list[Any] = [each.fields["modules"] for each in answers if "modules" in each.fields]
    return [each["pairs"] for each in told]


async def test_a_layer_that_nobody_asked_for_is_looked_at_first_and_then_no_more(
    client: AsyncClient,
) -> None:
    answers = await _found(client)
    seen = _of_pairs(answers)
    assert seen[0] == FEW
    assert seen[-1] == PAIRS
    assert seen == sorted(seen)
    assert {_job(each)["pairs_wanted"] for each in answers} == {PAIRS}
    done = [_job(each)["done"] for each in answers]
    assert done == sorted(done), "a search that has ended does not go on"
    assert _of_pairs(await _found(client)) == [PAIRS]


async def test_the_process_that_was_started_ahead_leaves_no_job(client: AsyncClient) -> None:
    await _found(client, pairs=PAIRS + 32)
    assert await client.jobs(kinds=[JobKind.MODULES]) == ()


async def test_a_short_search_needs_no_first_look(client: AsyncClient) -> None:
    assert FEW not in _of_pairs(await _found(client, pairs=WORTH))


async def test_a_search_that_is_stopped_at_its_first_look_does_not_begin(
    client: AsyncClient,
) -> None:
    searches = SearchedLayers(client)
    answers = []
    async for each in searches.find(FindModules(MODEL, LAYER, 2, PAIRS + 64)):
        answers.append(each)
        if len(answers) == 1:
            await searches.stop(Stop(MODEL, LAYER))
    last = _job(answers[-1])
    assert (last["done"], last["state"]) == (True, JobState.CANCELLED)
    started = await client.jobs(kinds=[JobKind.INFLUENCE])
    assert PAIRS + 64 not in {each.pairs for each in started}


async def test_a_search_that_is_stopped_between_its_first_look_and_its_job_ends(
    client: AsyncClient,
) -> None:
    searches = SearchedLayers(client)
    states = []
    async for each in searches.find(FindModules(MODEL, LAYER, 2, 2**16)):
        states.append(_job(each)["state"])
        if "modules" in each.fields:
            await searches.stop(Stop(MODEL, LAYER))
    assert states[-1] == JobState.CANCELLED
